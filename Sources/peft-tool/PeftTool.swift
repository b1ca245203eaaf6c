import ArgumentParser

@main
struct PeftTool: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "peft-tool", abstract: "Parameter-efficient fine-tuning adapters, exactly.")
}
