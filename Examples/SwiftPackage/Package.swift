// swift-tools-version: 6.2
// A package of its own that finetunes by LoRA-VK. Elsewhere the dependency is
//     .package(url: "https://…/lora-vk", from: "0.1.0")
import PackageDescription

let package = Package(
    name: "finetune",
    dependencies: [.package(name: "lora-vk", path: "../..")],
    targets: [
        .executableTarget(name: "finetune", dependencies: [.product(name: "LoRAKit", package: "lora-vk")])
    ]
)
