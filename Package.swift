// swift-tools-version: 6.1
import PackageDescription

let settings: [SwiftSetting] = [
    .swiftLanguageMode(.v6),
    .unsafeFlags(["-warnings-as-errors"]),
]

let package = Package(
    name: "lora-vk",
    products: [
        .executable(name: "lora-vk", targets: ["CLI"]),
        .executable(name: "loravk-bench", targets: ["Benchmarks"]),
        .executable(name: "loravk-study", targets: ["Studies"]),
        .library(name: "loravk", type: .dynamic, targets: ["LoRAVKC", "LoRAVKLibrary"]),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.0"),
        .package(url: "https://github.com/apple/swift-log", from: "1.16.0"),
    ],
    targets: [
        // Build time only: GLSL in Shaders/ becomes SPIR-V embedded in Kernels.
        .systemLibrary(name: "CShaderc", path: "Sources/CShaderc"),
        .executableTarget(
            name: "ShaderCompiler", dependencies: ["CShaderc"], path: "Sources/ShaderCompiler",
            swiftSettings: settings,
            linkerSettings: [
                .linkedLibrary("shaderc_combined"),
                // Debian's archive leaves out the libraries it is built on.
                .linkedLibrary("SPIRV", .when(platforms: [.linux])),
                .linkedLibrary("glslang", .when(platforms: [.linux])),
                .linkedLibrary("MachineIndependent", .when(platforms: [.linux])),
                .linkedLibrary("GenericCodeGen", .when(platforms: [.linux])),
                .linkedLibrary("OGLCompiler", .when(platforms: [.linux])),
                .linkedLibrary("OSDependent", .when(platforms: [.linux])),
                .linkedLibrary("SPIRV-Tools-opt", .when(platforms: [.linux])),
                .linkedLibrary("SPIRV-Tools", .when(platforms: [.linux])),
                .linkedLibrary("stdc++", .when(platforms: [.linux])),
                .linkedLibrary("c++", .when(platforms: [.macOS])),
            ]),
        .plugin(
            name: "ShaderPlugin", capability: .buildTool(), dependencies: ["ShaderCompiler"],
            path: "Sources/ShaderPlugin"),

        // The runtime, from the driver up.
        .systemLibrary(name: "CVulkan", path: "Sources/CVulkan", pkgConfig: "vulkan"),
        .target(
            name: "VulkanCompute",
            dependencies: ["CVulkan", .product(name: "Logging", package: "swift-log")],
            swiftSettings: settings),
        // Products by the processor, for devices that are the processor.
        .target(name: "CHostProduct"),
        .target(
            name: "Kernels", dependencies: ["VulkanCompute", "CHostProduct"], swiftSettings: settings,
            plugins: ["ShaderPlugin"]),
        .systemLibrary(name: "CLinux", path: "Sources/CLinux"),
        .target(name: "Checkpoints", dependencies: ["CLinux"], swiftSettings: settings),
        .target(name: "Tokenizer", dependencies: ["Checkpoints"], swiftSettings: settings),
        // Small dense factorisations; Eigen is only headers.
        .target(name: "CEigen", cxxSettings: [.define("EIGEN_NO_DEBUG")]),
        // Data compressed by gzip.
        .systemLibrary(name: "CZlib", path: "Sources/CZlib", pkgConfig: "zlib"),
        .target(
            name: "LoRAVK", dependencies: ["Kernels", "Checkpoints", "Tokenizer", "CEigen", "CZlib"],
            swiftSettings: settings),

        // The C API. LoRAVKLibrary is nothing but how libloravk.so is linked: tests link LoRAVKC as everything else.
        .systemLibrary(name: "CLoRAVK", path: "include"),
        .target(name: "LoRAVKC", dependencies: ["CLoRAVK", "LoRAVK"], swiftSettings: settings),
        .target(
            name: "LoRAVKLibrary", dependencies: ["LoRAVKC"], swiftSettings: settings,
            linkerSettings: [
                .unsafeFlags(
                    [
                        "-static-stdlib", "-Xlinker", "-soname=libloravk.so.0",
                        "-Xlinker", "--version-script=\(Context.packageDirectory)/include/loravk.map",
                        // Thread-local errors are freed by the library's code, so it stays when it is closed.
                        "-Xlinker", "-z", "-Xlinker", "nodelete", "-Xlinker", "-z", "-Xlinker", "defs",
                    ], .when(platforms: [.linux])),
                // Parts of FoundationEssentials that the compiler names only where all is compiled for static linking.
                .linkedLibrary("_FoundationCollections", .when(platforms: [.linux])),
                .linkedLibrary("_FoundationCShims", .when(platforms: [.linux])),
            ]),

        // Pages and figures of what was trained.
        .target(name: "Reports", dependencies: ["Checkpoints"], swiftSettings: settings),

        // Many runs and what they found, which is kept in SQLite.
        .systemLibrary(name: "CSQLite", path: "Sources/CSQLite", pkgConfig: "sqlite3"),
        .target(name: "Sweeps", dependencies: ["LoRAVK", "Reports", "CSQLite"], swiftSettings: settings),

        // What people run.
        .executableTarget(
            name: "CLI",
            dependencies: [
                "LoRAVK", "Reports", "Sweeps",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ],
            swiftSettings: settings),
        .executableTarget(
            name: "Studies",
            dependencies: [
                "LoRAVK", "Reports", "Sweeps",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ],
            swiftSettings: settings),
        .executableTarget(
            name: "Benchmarks",
            dependencies: ["LoRAVK", .product(name: "ArgumentParser", package: "swift-argument-parser")],
            swiftSettings: settings),

        // Tests mirror the sources.
        .target(
            name: "TestSupport", dependencies: ["LoRAVK"], path: "Tests/TestSupport",
            swiftSettings: settings),
        .executableTarget(
            name: "Fuzz", dependencies: ["CLoRAVK", "LoRAVKC", "Sweeps"], path: "Tests/Fuzz",
            exclude: ["Corpus"],
            swiftSettings: settings),
        .testTarget(
            name: "VulkanComputeTests", dependencies: ["VulkanCompute", "TestSupport"],
            swiftSettings: settings),
        .testTarget(
            name: "KernelsTests", dependencies: ["Kernels", "CHostProduct", "TestSupport"],
            swiftSettings: settings),
        .testTarget(
            name: "CheckpointsTests", dependencies: ["Checkpoints"], exclude: ["Data"],
            swiftSettings: settings),
        .testTarget(
            name: "TokenizerTests", dependencies: ["Tokenizer"], exclude: ["Data"], swiftSettings: settings),
        .testTarget(
            name: "LoRAVKTests", dependencies: ["LoRAVK", "TestSupport"], exclude: ["Data"],
            swiftSettings: settings),
        .testTarget(
            name: "LoRAVKCTests", dependencies: ["LoRAVKC", "CLoRAVK", "TestSupport"], swiftSettings: settings
        ),
        .testTarget(name: "ReportsTests", dependencies: ["Reports", "TestSupport"], swiftSettings: settings),
        .testTarget(name: "SweepsTests", dependencies: ["Sweeps", "TestSupport"], swiftSettings: settings),
        .testTarget(name: "CLITests", dependencies: ["CLI"], swiftSettings: settings),
    ]
)
