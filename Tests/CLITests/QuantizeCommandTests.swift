import Foundation
import Safetensors
import Testing

private let base = Tool.fixtures + "/llama/base"
private let quantized = Tool.fixtures + "/llama/nf4_dq"
private let lora = Tool.fixtures + "/llama/lora"

@Suite struct QuantizeCommandTests {
  @Test func jsonKeys() throws {
    let folder = try TemporaryFolder()
    let result = try Tool.run("quantize", base, folder.file("out"), "--json")
    #expect(result.status == 0 && result.errors == "")
    let json = try #require(result.json)
    #expect(json["quantized"]?.int == 14)
    #expect(json["kept"]?.int == 7)
    #expect(abs((json["bits_per_parameter"]?.double ?? 0) - 4.127) < 0.02)
    #expect(json["bytes_in"]?.int ?? 0 > json["bytes_out"]?.int ?? 0)
    let first = try #require(json["tensors"]?.array?.first)
    #expect(first["tensor"]?.string == "model.layers.0.mlp.down_proj.weight")
    #expect(first["rms_error"]?.double ?? 0 > 0)
    #expect(first["max_error"]?.double ?? 0 > first["rms_error"]?.double ?? 1)
  }

  @Test func thereAndBack() throws {
    let folder = try TemporaryFolder()
    for scheme in ["nf4", "fp4", "int8"] {
      let (out, back) = (folder.file(scheme), folder.file(scheme + "-back"))
      #expect(try Tool.run("quantize", base, out, "--scheme", scheme, "--quiet").status == 0)
      let inspected = try Tool.run("inspect", out, "--json")
      #expect(inspected.status == 0)
      #expect(inspected.json?["quantization"]?.string == "bitsandbytes " + scheme)
      let restored = try Tool.run("dequantize", out, back, "--json")
      #expect(restored.status == 0)
      #expect(restored.json?["dequantized"]?.int == 14)
      #expect(try Tool.run("inspect", back, "--json").json?["quantization"]?.isNull == true)
    }
  }

  @Test func dryRunsWriteNothing() throws {
    let folder = try TemporaryFolder()
    let plan = try Tool.run("quantize", base, folder.file("out"), "--dry-run")
    #expect(plan.status == 0)
    #expect(plan.output.contains("would quantize 14 weights to nf4"))
    let back = try Tool.run("dequantize", quantized, folder.file("out"), "--dry-run")
    #expect(back.output.contains("would restore 14 weights"))
    let merge = try Tool.run(
      "merge", base, lora, folder.file("out"), "--quantize", "nf4", "--dry-run")
    #expect(merge.status == 0)
    #expect(!FileSystem.exists(folder.file("out")))
  }

  @Test func lostChangesAreToldLoudly() throws {
    let folder = try TemporaryFolder()
    let result = try Tool.run(
      "merge", quantized, lora + "@0.002", folder.file("out"), "--quantize", "nf4")
    #expect(result.status == 0)
    #expect(result.errors.contains("warning: THE MERGE IS LARGELY LOST: "))
    let strict = try Tool.run(
      "merge", quantized, lora + "@0.002", folder.file("strict"), "--quantize", "nf4",
      "--min-retention", "0.5")
    #expect(strict.status == 1)
    #expect(!FileSystem.exists(folder.file("strict")))
    // In 16 bits the steps of the type are the reason.
    let halves = try Tool.run(
      "merge", quantized, lora + "@0.00001", folder.file("halves"), "--dtype", "bf16")
    #expect(halves.status == 0)
    #expect(halves.errors.contains("warning: THE MERGE IS LARGELY LOST: "))
    #expect(halves.errors.contains("smaller than the stored type can show"))
  }

  @Test(arguments: [
    (["quantize", "BASE", "OUT", "--block-size", "48"], Int32(64), "power of two"),
    (["quantize", "BASE", "OUT", "--skip", "nothing"], 65, "--skip nothing matches no linear"),
    (["quantize", "QUANTIZED", "OUT"], 65, "quantized already (bitsandbytes nf4)"),
    (["dequantize", "BASE", "OUT"], 65, "is not quantized"),
    (["quantize", "/nowhere", "OUT"], 66, "there is no /nowhere"),
    (["merge", "QUANTIZED", "LORA", "OUT", "--undo"], 64, "no undo record"),
    (["merge", "BASE", "LORA", "OUT", "--base-weights", "BASE"], 65, "is not quantized"),
  ])
  func failures(_ arguments: [String], _ status: Int32, _ says: String) throws {
    let folder = try TemporaryFolder()
    let names = [
      "BASE": base, "QUANTIZED": quantized, "LORA": lora, "OUT": folder.file("out"),
    ]
    let result = try Tool.run(arguments.map { names[$0] ?? $0 })
    #expect(result.status == status, "\(result.errors)")
    #expect(result.errors.contains(says), "\(result.errors)")
    #expect(!FileSystem.exists(folder.file("out")))
  }
}
