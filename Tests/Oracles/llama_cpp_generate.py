"""Speed of generation with llama.cpp's Vulkan backend, every layer on the device. usage: llama_cpp_generate.py MODEL.gguf PROMPT TOKENS
Prints one JSON object: the device, tokens a second of a prompt of PROMPT tokens at once and of TOKENS tokens one by one, measured
once after a run that is not counted, and the peak of memory in MB. Needs the python of scripts/fetch-llama-cpp-vulkan. The backend
runs as it comes: on lavapipe GGML_VK_DISABLE_F16 made it a third slower, and 512-bit vectors gained 3 to 10 % on the prompt and lost 40 % of the rest."""
import ctypes, json, os, random, re, resource, sys, time

os.environ.setdefault("GGML_VK_VISIBLE_DEVICES", "0")  # unless named, it takes no device that is a CPU
from llama_cpp import llama_cpp

path, prompt, tokens = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
log = []
keep = llama_cpp.llama_log_callback(lambda level, text, data: log.append(text.decode(errors="replace")))
llama_cpp.llama_log_set(keep, ctypes.c_void_p())


def check(condition, what):
    if not condition:
        sys.exit("\n".join("".join(log).splitlines()[-20:]) + f"\nllama.cpp could not {what}; its last messages are above")


def said(pattern, what):
    match = re.search(pattern, "".join(log))
    check(match, what)
    return match


model_params = llama_cpp.llama_model_default_params()
model_params.n_gpu_layers = 999
model = llama_cpp.llama_model_load_from_file(path.encode(), model_params)
check(model, f"load {path}")
device = said(r"using device Vulkan0 \(([^\n]*)\) - ", "find a Vulkan device")[1]
layers = said(r"offloaded (\d+)/(\d+) layers to GPU", "say how many layers are on the device")
check(layers[1] == layers[2], f"put every layer on the device: {layers[1]} of {layers[2]} are")

params = llama_cpp.llama_context_default_params()
params.n_ctx, params.n_batch, params.n_ubatch = prompt + tokens, max(params.n_ubatch, prompt), max(params.n_ubatch, prompt)
params.n_threads = params.n_threads_batch = 1  # they only look rows up, and wait by spinning, which a driver on the CPU would feel
context = llama_cpp.llama_init_from_model(model, params)
check(context, "make a context")

vocabulary = llama_cpp.llama_vocab_n_tokens(llama_cpp.llama_model_get_vocab(model))
choose = random.Random(1)
ids = [choose.randrange(vocabulary) for _ in range(prompt + tokens)]


def seconds(batch):
    """The time from the call to where the logits of the batch's last token can be read."""
    start = time.monotonic()
    array = (llama_cpp.llama_token * len(batch))(*batch)
    check(llama_cpp.llama_decode(context, llama_cpp.llama_batch_get_one(array, len(batch))) == 0, "decode a batch")
    llama_cpp.llama_synchronize(context)
    return time.monotonic() - start


def run(count):
    llama_cpp.llama_memory_clear(llama_cpp.llama_get_memory(context), True)
    return seconds(ids[:prompt]), [seconds([token]) for token in ids[prompt : prompt + count]]


run(2)  # compiles every shader
first, rest = run(tokens)
print(json.dumps(dict(
    device=device, prompt=prompt / first, generation=tokens / sum(rest),
    megabytes=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)))
