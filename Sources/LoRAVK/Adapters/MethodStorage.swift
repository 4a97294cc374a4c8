// What PEFT's files hold of a method. The keys of its tensors are those of its parameters (Adapter.Part.filePart); Checkpoints
// knows what they mean (AdapterFormat).

import Checkpoints

package protocol MethodStorage: Sendable {
    /// Writes into PEFT's config what the method is.
    func describe(_ peft: inout PEFTConfig, _ config: LoRAConfig)
    /// The method that `describe` wrote into a config, with its options; nil if the config describes another method, or
    /// if PEFT has no words for this one: then its name goes into the file's metadata.
    func recognized(in peft: PEFTConfig) -> (any AdapterMethod)?
    /// The tensors that are saved of a layer, under PEFT's keys.
    func fileTensors(of layer: LoRALayer, in adapter: Adapter) throws -> [TensorSource]
    /// Whether they are the parameters themselves, so that training continues with this method. If not, they are a plain
    /// LoRA that computes the same.
    var savesItself: Bool { get }
}

extension MethodStorage {
    package func describe(_ peft: inout PEFTConfig, _ config: LoRAConfig) {}
    package func recognized(in peft: PEFTConfig) -> (any AdapterMethod)? { nil }
    package var savesItself: Bool { true }

    package func fileTensors(of layer: LoRALayer, in adapter: Adapter) throws -> [TensorSource] {
        try layer.parameters.compactMap { parameter in
            let part = parameter.shape.part
            return try part.filePart.map { filePart in
                TensorSource(
                    AdapterFiles.key(layer.name, filePart), shape: parameter.shape.savedShape,
                    try adapter.values(layer, part))
            }
        }
    }
}
