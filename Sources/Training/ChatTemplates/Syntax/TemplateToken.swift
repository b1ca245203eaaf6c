/// A token of a template.
struct TemplateToken {
  enum Kind: Equatable {
    /// Text that is put out as it is.
    case text(String)
    case blockBegin
    case blockEnd
    case variableBegin
    case variableEnd
    case name(String)
    case string(String)
    case integer(Int)
    case float(Double)
    /// `==`, `(`, `|` and the like.
    case symbol(String)
    case end
  }

  var kind: Kind
  var line: Int
}
