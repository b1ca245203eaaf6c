import Safetensors

/// The tokenizer of a model's folder: `tokenizer.json`, and from `tokenizer_config.json`,
/// `special_tokens_map.json` and `chat_template.jinja` what belongs to it.
public struct PretrainedTokenizer: Sendable {
  public var tokenizer: Tokenizer
  public var chatTemplate: ChatTemplate?
  /// The special tokens by their names in the configuration: `bos_token`, `eos_token`, `pad_token` …
  public var specialTokens: [(name: String, token: String)]

  /// The names under which a configuration has special tokens.
  private static let tokenNames = [
    "bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token",
  ]

  public enum LoadError: Error, Equatable, Sendable {
    case file(FileError)
    case json(path: String, JSONError)
    case tokenizer(path: String, TokenizerError)
    case template(path: String, TemplateError)
  }

  public init(
    tokenizer: Tokenizer, chatTemplate: ChatTemplate? = nil,
    specialTokens: [(name: String, token: String)] = []
  ) {
    self.tokenizer = tokenizer
    self.chatTemplate = chatTemplate
    self.specialTokens = specialTokens
  }

  /// Reads a folder. Only `tokenizer.json` must be there.
  public init(folder: String) throws(LoadError) {
    let path = FileSystem.join(folder, "tokenizer.json")
    do throws(TokenizerError) {
      tokenizer = try Tokenizer(contentsOfFile: path)
    } catch {
      throw LoadError.tokenizer(path: path, error)
    }
    let configPath = FileSystem.join(folder, "tokenizer_config.json")
    let config = try Self.json(at: configPath) ?? .null
    let map = try Self.json(at: FileSystem.join(folder, "special_tokens_map.json")) ?? .null
    specialTokens = Self.tokenNames.compactMap { name in
      let value = config[name] ?? map[name]
      // A token, or an object that describes it.
      let token = value?.string ?? value?["content"]?.string
      return token.map { (name, $0) }
    }
    let templatePath = FileSystem.join(folder, "chat_template.jinja")
    let fileTemplate = try Self.bytes(at: templatePath).map { String(decoding: $0, as: UTF8.self) }
    if let source = fileTemplate ?? Self.template(in: config) {
      do throws(TemplateError) {
        chatTemplate = try ChatTemplate(source)
      } catch {
        throw LoadError.template(path: fileTemplate == nil ? configPath : templatePath, error)
      }
    }
  }

  /// The `chat_template` of a configuration: one, or several by name, of which the default is taken.
  private static func template(in config: JSONValue) -> String? {
    guard let templates = config["chat_template"]?.array else {
      return config["chat_template"]?.string
    }
    return templates.first { $0["name"]?.string == "default" }?["template"]?.string
  }

  private static func bytes(at path: String) throws(LoadError) -> [UInt8]? {
    guard FileSystem.exists(path) else { return nil }
    do throws(FileError) {
      return try InputFile(path: path).readAll()
    } catch {
      throw LoadError.file(error)
    }
  }

  private static func json(at path: String) throws(LoadError) -> JSONValue? {
    guard let bytes = try bytes(at: path) else { return nil }
    do throws(JSONError) {
      return try JSONValue.parse(bytes, allowsNonFinite: true)
    } catch {
      throw LoadError.json(path: path, error)
    }
  }

  private func id(of name: String) -> Int32? {
    specialTokens.first { $0.name == name }.flatMap { tokenizer.id(of: $0.token) }
  }

  /// The token that ends a text (`eos_token`).
  public var endOfTextID: Int32? { id(of: "eos_token") }

  /// The token to pad with; padding is masked, so any will do where there is none.
  public var paddingID: Int32 { id(of: "pad_token") ?? endOfTextID ?? 0 }

  /// The variables of the chat template: the special tokens.
  public var templateVariables: JSONObject {
    var variables = JSONObject()
    for (name, token) in specialTokens { variables[name] = .string(token) }
    return variables
  }
}
