import Foundation
import Testing

/// A Python with the peers in it: the one that `PEFT_TOOL_PYTHON` names, or the system's.
enum Peer {
  static let python = ProcessInfo.processInfo.environment["PEFT_TOOL_PYTHON"] ?? "python3"

  /// Whether `modules` can be imported.
  static func has(_ modules: String) -> Bool {
    (try? run("import \(modules)"))?.status == 0
  }

  static func run(_ script: String, _ arguments: String...) throws -> Tool.Result {
    let process = Process()
    process.executableURL = URL(filePath: "/usr/bin/env")
    process.arguments = [python, "-c", script] + arguments
    let (output, errors) = (Pipe(), Pipe())
    process.standardOutput = output
    process.standardError = errors
    try process.run()
    let out = output.fileHandleForReading.readDataToEndOfFile()
    let err = errors.fileHandleForReading.readDataToEndOfFile()
    process.waitUntilExit()
    return Tool.Result(
      status: process.terminationStatus, output: String(decoding: out, as: UTF8.self),
      errors: String(decoding: err, as: UTF8.self))
  }
}

/// What the tool writes is read by the libraries that everybody uses. Skipped, and said to be, where
/// there is no Python with them (`PEFT_TOOL_PYTHON` names one).
@Suite struct InteropTests {
  static let hasTransformers = Peer.has("torch, transformers, peft, safetensors")

  /// The merged model gives the logits of the adapted one.
  @Test(
    .enabled(if: hasTransformers, "no Python with torch, transformers and peft"),
    arguments: ["llama/lora", "qwen/lora_modules_to_save", "gpt2/dora", "mixtral/lora_params"])
  func transformersLoadsTheMerge(_ name: String) throws {
    let folder = try TemporaryFolder()
    let base = Tool.fixtures + "/" + name.split(separator: "/")[0] + "/base"
    let adapter = Tool.fixtures + "/" + name
    #expect(try Tool.run("merge", base, adapter, folder.file("out"), "--dtype", "f32").status == 0)
    let result = try Peer.run(
      """
      import sys, torch
      from transformers import AutoModelForCausalLM
      from peft import PeftModel
      base, adapter, merged = sys.argv[1:]
      tokens = torch.arange(1, 17).reshape(2, 8)
      load = lambda path: AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32).eval()
      with torch.no_grad():
          wanted = PeftModel.from_pretrained(load(base), adapter).eval()(tokens).logits
          found = load(merged)(tokens).logits
      error = ((found - wanted).norm() / wanted.norm()).item()
      print(error)
      sys.exit(error > 1e-4)
      """, base, adapter, folder.file("out"))
    #expect(result.status == 0, "\(result.output)\(result.errors)")
  }

  static let hasBitsandbytes = Peer.has("torch, transformers, bitsandbytes, accelerate")

  /// The quantized model is the one that transformers makes itself: the same layers, decoded to the same
  /// numbers, the same output.
  @Test(
    .enabled(if: hasBitsandbytes, "no Python with torch, transformers and bitsandbytes"),
    arguments: ["llama/nf4", "qwen/nf4", "gpt2/fp4", "mixtral/nf4", "llama/int8", "gpt2/int8"])
  func transformersLoadsTheQuantizedModel(_ name: String) throws {
    let folder = try TemporaryFolder()
    let parts = name.split(separator: "/").map(String.init)
    let base = Tool.fixtures + "/\(parts[0])/base"
    #expect(
      try Tool.run("quantize", base, folder.file("out"), "--scheme", parts[1]).status == 0)
    let result = try Peer.run(
      """
      import sys, torch, bitsandbytes as bnb
      from transformers import AutoModelForCausalLM, BitsAndBytesConfig
      base, out, scheme = sys.argv[1:]
      config = (BitsAndBytesConfig(load_in_8bit=True) if scheme == "int8" else BitsAndBytesConfig(
          load_in_4bit=True, bnb_4bit_quant_type=scheme, bnb_4bit_use_double_quant=True))
      wanted = AutoModelForCausalLM.from_pretrained(base, quantization_config=config)
      found = AutoModelForCausalLM.from_pretrained(out)
      a, b = dict(wanted.named_modules()), dict(found.named_modules())
      assert a.keys() == b.keys()
      count = 0
      for key, module in a.items():
          assert type(module) is type(b[key]), key
          if isinstance(module, bnb.nn.Linear4bit):
              x, y = (bnb.functional.dequantize_4bit(m.weight.data, m.weight.quant_state) for m in (module, b[key]))
              assert torch.equal(x, y), key
              count += 1
          elif isinstance(module, bnb.nn.Linear8bitLt):
              assert torch.equal(module.weight.data, b[key].weight.data), key
              assert torch.equal(module.weight.SCB, b[key].weight.SCB), key
              count += 1
      assert count > 0
      tokens = torch.arange(1, 17).reshape(2, 8)
      # With gradients: without, bitsandbytes repacks weights for the processor and refuses these small ones.
      assert torch.equal(wanted(tokens).logits, found(tokens).logits)
      """, base, folder.file("out"), parts[1])
    #expect(result.status == 0, "\(result.output)\(result.errors)")
  }

  @Test(.enabled(if: hasTransformers, "no Python with torch, transformers and peft"))
  func safetensorsOpensTheContainer() throws {
    let folder = try TemporaryFolder()
    let file = folder.file("a.safetensors")
    #expect(try Tool.run("convert", Tool.fixtures + "/vit/dora", file).status == 0)
    let result = try Peer.run(
      """
      import sys, torch
      from safetensors.torch import load_file
      a, b = load_file(sys.argv[1]), load_file(sys.argv[2])
      assert a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)
      """, file, Tool.fixtures + "/vit/dora/adapter_model.safetensors")
    #expect(result.status == 0, "\(result.errors)")
  }
}
