import ArgumentParser

@main
struct PeftTool: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "peft-tool",
    abstract: "Parameter-efficient fine-tuning adapters, exactly.",
    discussion: """
      Merges adapters into models of any size in bounded memory, with the same bytes on every \
      machine. A MODEL is a folder with model.safetensors or its shards, or one .safetensors file. \
      An ADAPTER is a Hugging Face PEFT folder, or one file in the container format.

      Example: peft-tool merge llama-base my-lora llama-merged
      """,
    version: ToolVersion.current,
    subcommands: [
      MergeCommand.self, UnmergeCommand.self, InspectCommand.self, EstimateCommand.self,
      DiffCommand.self, ExtractCommand.self, CombineCommand.self, ConvertCommand.self,
      TrainCommand.self, QuantizeCommand.self, DequantizeCommand.self, VerifyCommand.self,
      MethodsCommand.self,
    ])

  static func main() {
    Interruption.handle()
    OpenFiles.raiseLimit()
    var command: any ParsableCommand
    do {
      command = try parseAsRoot()
    } catch {
      exit(withError: error)
    }
    do {
      try command.run()
    } catch let error as ExitCode {
      exit(withError: error)
    } catch let error as ValidationError {
      exit(withError: error)
    } catch let error where exitCode(for: error) == .success {
      // A request for help, which the parser answers by a command of its own.
      exit(withError: error)
    } catch {
      Failure(error).report(json: CommandLine.arguments.contains("--json"))
    }
  }
}

enum ToolVersion {
  static let current = "0.1.0"
}
