/// Why a chat template cannot be read or rendered. Lines count from 1.
public enum TemplateError: Error, Equatable, Sendable {
  /// The template is malformed: what was found at the line, or what was expected there.
  case syntax(line: Int, found: String)
  /// A construct of Jinja that this interpreter does not implement.
  case unsupported(line: Int, construct: String)
  /// A value that is not defined is used where one is needed.
  case undefined(line: Int, name: String)
  /// An operation on values that do not have it.
  case invalidOperation(line: Int, operation: String)
  /// The template called `raise_exception`.
  case raised(line: Int, message: String)
  /// The template asks for the date (`strftime_now`), and none was given.
  case dateMissing(line: Int)
  /// Nesting, a range or a repetition beyond what a chat template needs.
  case limitExceeded(line: Int, limit: String)
}
