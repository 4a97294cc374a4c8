// usage: finetune MODEL DATA OUT
// Finetunes a model by a method and an objective of this program, saves the adapter, and lets the model answer.

import LoRAKit

let words = CommandLine.arguments
guard words.count == 4 else { fatalError("usage: finetune MODEL DATA OUT") }

HalfLoRA().register()
let device = try Device()
let model = try Model(words[1], on: device)
let examples = try model.examples(words[2], maxTokens: 64)

var options = Adapter.Options()
options.method = "half-lora"
let adapter = try Adapter(for: model, options)
print("\(device.name): \(examples.count) examples, \(adapter.parameterCount) parameters")

let trainer = try Trainer(model, adapter)
print("loss before: \(try trainer.loss(examples))")
var schedule = Trainer.Schedule(steps: 20)
(schedule.batchSize, schedule.learningRate) = (4, 5e-3)
try trainer.fit(examples, schedule, objective: FocalLoss()) { number, step in
    print("step \(number): focal loss \(step.loss)")
    return true
}
print("loss after: \(try trainer.loss(examples))")

try adapter.save(to: words[3])
let answer = try model.generate(try model.chatTokens(of: "The fear of the"), with: adapter, maxTokens: 24)
print("answer: \(model.text(of: answer))")
