// swift-tools-version: 6.1

import PackageDescription

let package = Package(
  name: "peft-tool",
  platforms: [.macOS(.v15)],
  products: [
    .executable(name: "peft-tool", targets: ["peft-tool"]),
    .library(name: "Safetensors", targets: ["Safetensors"]),
    .library(name: "Kernels", targets: ["Kernels"]),
  ],
  dependencies: [
    .package(url: "https://github.com/apple/swift-argument-parser", exact: "1.8.2"),
    .package(url: "https://github.com/jpsim/Yams", exact: "6.2.2"),
  ],
  targets: [
    // System libraries and C.
    .systemLibrary(
      name: "CZlib", pkgConfig: "zlib", providers: [.apt(["libz-dev"]), .brew(["zlib"])]),
    .target(name: "CKernels"),

    // The library, from the ground up: a module imports only modules above it.
    .target(name: "Safetensors", dependencies: ["CZlib"]),
    .target(name: "Kernels", dependencies: ["CKernels", "CZlib"]),
    .target(name: "Adapters", dependencies: ["Safetensors", "Kernels"]),
    .target(name: "Operations", dependencies: ["Safetensors", "Kernels", "Adapters", "CZlib"]),
    .target(
      name: "Training",
      dependencies: ["Safetensors", "CKernels", "Kernels", "Adapters", "Operations"]),

    // The command line.
    .executableTarget(
      name: "peft-tool",
      dependencies: [
        "Operations", "Training",
        .product(name: "ArgumentParser", package: "swift-argument-parser"), "Yams",
      ]),

    // What Benchmarks/quantize times beside the command.
    .executableTarget(
      name: "quantize-in-memory", dependencies: ["Kernels"], path: "Benchmarks/QuantizeInMemory"),

    // Tests.
    .testTarget(name: "SafetensorsTests", dependencies: ["Safetensors"]),
    .testTarget(
      name: "KernelsTests", dependencies: ["Kernels", "CKernels", "CZlib", "Safetensors"]),
    .testTarget(name: "AdaptersTests", dependencies: ["Adapters"]),
    .testTarget(name: "OperationsTests", dependencies: ["Operations", "CKernels"]),
    .testTarget(
      name: "TrainingTests",
      dependencies: ["Training", "Operations", "Adapters", "Kernels", "CKernels", "Safetensors"]),
    .testTarget(
      name: "CLITests", dependencies: ["peft-tool", "Safetensors"], exclude: ["Help"]),
  ]
)
