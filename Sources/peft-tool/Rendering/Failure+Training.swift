import Kernels
import Safetensors
import Training

extension Failure {
  init(training error: TrainingError) {
    switch error {
    case .notAModel(let path):
      self.init(
        "not_a_model", .wrongData,
        "\(path) is not a model folder; training needs config.json beside the weights", path: path)
    case .notTrainable(let method):
      self.init(
        "not_trainable", .wrongUsage,
        "\(method) cannot be trained here; peft-tool methods lists the methods that can")
    case .noLayer(let module, let method):
      self.init(
        "not_trainable", .wrongData,
        "\(method) cannot be trained on \(module), which is no linear layer; narrow --targets")
    case .nothingToTrain:
      self.init("nothing_to_train", .wrongData, "the method has nothing to train on this model")
    case .split(let examples, let share):
      self.init(
        "split", .wrongUsage,
        "--eval-split \(share) of \(examples) examples leaves none to train or to evaluate on")
    case .imagesNeedTensors(let path):
      self.init(
        "data", .wrongData,
        "\(path) should be safetensors with pixel_values and labels: this model reads images",
        path: path)
    case .restart(let option):
      self.init(
        "relora", .wrongUsage, "--relora-every cannot be combined with \(option); leave out one")
    case .noEvaluationData(let option):
      self.init(
        "no_evaluation_data", .wrongUsage,
        "\(option) needs examples to evaluate on: add --eval-data or --eval-split")
    case .diverged(let step, let loss, let tensor):
      self.init(
        "diverged", .wrongData,
        "training diverged in step \(step): the loss is \(loss), first seen in the gradient of "
          + "\(tensor); lower --learning-rate, add --warmup, or look at the data",
        tensor: tensor)
    case .checkpoint(let path, let reason):
      self.init("checkpoint", .wrongData, "\(path) is no checkpoint: \(reason)", path: path)
    case .otherRun(let path, let option, let stored, let given):
      self.init(
        "other_run", .wrongData,
        "\(path) is of a run with --\(option) \(stored), not \(given); resume with the same options",
        path: path)
    }
  }

  init(trainingFile error: TrainingFileError) {
    switch error {
    case .unreadable(let path, let line, let reason):
      self.init("config", .wrongData, "\(path), line \(line): \(reason)", path: path)
    case .unknownKey(let path, let key):
      self.init(
        "unknown_key", .wrongData, "\(path): the key \(key) is not supported; remove it",
        path: path)
    case .value(let path, let key, let expected):
      self.init("config", .wrongData, "\(path): \(key) should be \(expected)", path: path)
    }
  }

  init(model error: ModelError) {
    switch error {
    case .missingConfiguration(let path):
      self.init(
        "no_config", .missingInput, "\(path) has no config.json; training needs it", path: path)
    case .unsupportedModel(let type):
      self.init(
        "unsupported_model", .wrongData,
        "models of the type \(type ?? "(none)") cannot be trained; llama, mistral, qwen2, qwen3, "
          + "gpt2, bert and vit can")
    case .setting(let name, let reason):
      self.init("config", .wrongData, "config.json: \(name) \(reason)")
    case .missingTensor(let name):
      self.init(
        "missing_tensor", .wrongData, "the base lacks \(name), which config.json asks for",
        tensor: name)
    case .shape(let tensor, let found, let expected):
      self.init(
        "shape", .wrongData,
        "\(tensor) is \(Text.shape(found)), and config.json asks for \(Text.shape(expected))",
        tensor: tensor)
    case .elementType(let tensor, let type):
      self.init(
        "dtype", .wrongData,
        "\(tensor) is \(type.rawValue), which cannot be computed with; use a base in 32, 16 or 4 bits",
        tensor: tensor)
    case .reading(let error): self.init(safetensors: error, path: nil)
    case .quantized(let problem): self.init("quantization", .wrongData, problem.sentence)
    case .alreadyQuantized(let path):
      self.init(
        "already_quantized", .wrongUsage,
        "\(path) is quantized already, and is trained on as it is; leave out --quantize",
        path: path)
    case .quantization(let tensor, let error):
      self.init(quantization: error)
      self.tensor = tensor
      message = "\(tensor): \(message)"
    case .token(let id, let vocabulary):
      self.init(
        "data", .wrongData,
        "the data has the token \(id), and the model knows \(vocabulary); use the model's tokenizer"
      )
    case .length(let length, let most):
      self.init(
        "data", .wrongData,
        "a text has \(length) tokens, and the model takes \(most); lower --sequence-length")
    case .image(let shape, let expected):
      self.init(
        "data", .wrongData,
        "the images are \(Text.shape(shape)), and the model takes \(Text.shape(expected))")
    case .noTargets:
      self.init(
        "data", .wrongData,
        "the data has nothing to predict: no text of two tokens, or every label is ignored")
    case .label(let label, let classes):
      self.init(
        "data", .wrongData, "the data has the label \(label), and the model \(classes) classes")
    case .missingInput(let name):
      self.init("data", .wrongData, "the data lacks \(name), which this model reads")
    }
  }

  init(optimizer error: OptimizerError) {
    switch error {
    case .state(let name):
      self.init(
        "checkpoint", .wrongData, "the checkpoint's \(name) is not of this optimiser or adapter")
    case .paging(let folder, let errno):
      self.init(
        "paging", .cannotCreate,
        "a file for the optimiser's memory cannot be made in \(folder) (error \(errno))",
        path: folder)
    }
  }

  init(adapterTraining error: AdapterTrainingError) {
    switch error {
    case .method(let title, let module):
      self.init("not_trainable", .wrongData, "\(title) on \(module) cannot be trained")
    case .missingModule(let name):
      self.init(
        "missing_module", .wrongData, "the model has no \(name), which the adapter is for",
        tensor: name)
    case .restart(let module):
      self.init(
        "relora", .wrongUsage,
        "--relora-every restarts LoRA, and \(module) has another method or a bias; use lora or rslora"
      )
    case .module(let path, let error):
      self.init("method", .wrongData, "\(path): \(error.clause)")
    case .shape(let tensor, let found, let expected):
      self.init(
        "shape", .wrongData,
        "\(tensor) is \(Text.shape(found)) in the adapter and \(Text.shape(expected)) in the model",
        tensor: tensor)
    }
  }
}
