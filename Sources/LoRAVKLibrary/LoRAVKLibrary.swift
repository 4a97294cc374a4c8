// The dynamic library `loravk` is linked with the settings of this target in Package.swift; the code is LoRAVKC's.
