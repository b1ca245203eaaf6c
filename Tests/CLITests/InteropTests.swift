import Foundation
import Operations
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

  /// The extracted adapter on the base gives the logits of the tuned model.
  @Test(
    .enabled(if: hasTransformers, "no Python with torch, transformers and peft"),
    arguments: [
      ("llama/lora_modules_to_save", "lora"), ("qwen/lora_embed", "lora"),
      ("gpt2/lora_bias", "lora"),
      ("mixtral/lora_params", "lora"), ("mixtral/dora", "dora"),
    ])
  func peftLoadsTheExtraction(_ name: String, _ method: String) throws {
    let folder = try TemporaryFolder()
    let base = Tool.fixtures + "/" + name.split(separator: "/")[0] + "/base"
    let (tuned, out) = (folder.file("tuned"), folder.file("out"))
    #expect(
      try Tool.run("merge", base, Tool.fixtures + "/" + name, tuned, "--dtype", "f32").status == 0)
    #expect(
      try Tool.run("extract", base, tuned, out, "--rank", "8", "--method", method).status == 0)
    let result = try Peer.run(
      """
      import sys, torch
      from transformers import AutoModelForCausalLM
      from peft import PeftModel
      base, tuned, out = sys.argv[1:]
      tokens = torch.arange(1, 17).reshape(2, 8)
      load = lambda path: AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32).eval()
      with torch.no_grad():
          wanted = load(tuned)(tokens).logits
          found = PeftModel.from_pretrained(load(base), out).eval()(tokens).logits
      error = ((found - wanted).norm() / wanted.norm()).item()
      print(error)
      sys.exit(error > 1e-5)
      """, base, tuned, out)
    #expect(result.status == 0, "\(result.output)\(result.errors)")
  }

  /// Every mode of `combine`, loaded by PEFT, is the change that `add_weighted_adapter` makes; the random
  /// ones at density 1, where nothing is left to chance.
  @Test(.enabled(if: hasTransformers, "no Python with torch, transformers and peft"))
  func peftCombinesAlike() throws {
    let folder = try TemporaryFolder()
    let adapters = ["a", "b"].map { Tool.fixtures + "/combine/" + $0 }
    for mode in CombinationMode.allCases {
      let density = mode.rawValue.hasPrefix("dare") ? "1.0" : "0.5"
      let result = try Tool.run(
        ["combine", folder.file(mode.rawValue), adapters[0] + "@0.7", adapters[1] + "@-0.4"]
          + ["--mode", mode.rawValue] + (mode.needsDensity ? ["--density", density] : []))
      #expect(result.status == 0, "\(mode): \(result.errors)")
    }
    let result = try Peer.run(
      """
      import os, sys, torch
      from transformers import AutoModelForCausalLM
      from peft import PeftModel
      base, a, b, folder = sys.argv[1:]
      model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
      model = PeftModel.from_pretrained(model, a, adapter_name="a")
      model.load_adapter(b, adapter_name="b")
      def changes(name):
          return {k: m.get_delta_weight(name) for k, m in model.named_modules()
                  if name in getattr(m, "lora_A", {})}
      modes = sorted(os.listdir(folder))
      assert len(modes) == 11
      for mode in modes:
          pruning = {} if mode in ("cat", "linear", "svd") else {
              "density": 1.0 if mode.startswith("dare") else 0.5}
          kind = mode.replace("-", "_")
          model.add_weighted_adapter(["a", "b"], [0.7, -0.4], "peft_" + kind, combination_type=kind, **pruning)
          model.load_adapter(os.path.join(folder, mode), adapter_name="own_" + kind)
          wanted, found = changes("peft_" + kind), changes("own_" + kind)
          assert wanted.keys() == found.keys() and len(wanted) == 2
          for key in wanted:
              error = ((found[key] - wanted[key]).norm() / wanted[key].norm()).item()
              assert error < 1e-5, (mode, key, error)
      """, Tool.fixtures + "/llama/base", adapters[0], adapters[1], folder.path)
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
