/*
 * LoRA-VK: finetune language models with LoRA on any Vulkan device.
 *
 * Two levels. TENSORS AND OPERATIONS are for programs that bring their own training loop: tensors on a device, matrix
 * products, the LoRA linear layer, norms, attention, cross-entropy, AdamW. MODELS AND TRAINERS are for those that want it
 * done: load, tokenise, train, evaluate, generate, save.
 *
 * Rules that hold throughout
 *  - A function that can fail returns loravk_status. On failure its outputs are untouched, there is nothing to clean up, and
 *    loravk_last_error() tells what happened. Nothing aborts and nothing prints. (One thing does: where the C library's malloc
 *    has no memory left for the library's own small objects, the process ends.)
 *  - Handles are opaque. `..._create` and `..._load` give one that the caller owns and passes to `..._release`. Releasing NULL
 *    or a handle that was released already does nothing. Any order is legal: what is still needed lives on.
 *    A NULL, released or wrong kind of handle is LORAVK_ERROR_INVALID_HANDLE in every other function.
 *  - Configurations go by pointer and begin with their size: start from LORAVK_..._INIT, or, where a language cannot see macros,
 *    from loravk_..._init(&config, sizeof config), which gives the same. Later versions only append fields. Results begin with
 *    their size too and are written up to it. A smaller size than the first version's is refused.
 *  - Defaults are those of the program lora-vk and of the Python package, from one table. A field that says "0: …" or "-1: …"
 *    has that meaning; any other value is taken as it is. Where NULL is allowed for a configuration, it means all defaults.
 *  - Strings are UTF-8. Where one comes with a length it need not end with NUL.
 *  - Files may be anybody's. Of a file of n bytes (tensors' data not counted) a reader takes at most 64 MiB + 40 n bytes of memory and
 *    5 us of processor time a byte, or it fails with LORAVK_ERROR_FILE; a JSON document may have 128 MiB, what lies before a
 *    GGUF file's data too, a chat template 1 MiB. A tokenizer takes at most 10 us a byte of text, a chat template a number of steps
 *    that grows with what it is given. A thread that calls needs 512 KiB of stack. While a model loads, a file that changes is
 *    an error; no call reads one through a mapping.
 *  - Arrays are row-major. Units are in the names: `_bytes`, `_seconds`.
 *  - Letters in shapes: B batch, T tokens of a sequence, N tokens in all, V vocabulary, I inputs, O outputs, R LoRA rank,
 *    H heads, K key/value heads, D head size.
 */
#ifndef LORAVK_H
#define LORAVK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ======================================================================================================== Versioning == */

/* Of this header. The library's own: loravk_version(). Versions follow semantic versioning. */
#define LORAVK_VERSION_MAJOR 0
#define LORAVK_VERSION_MINOR 1
#define LORAVK_VERSION_PATCH 0

/* Raised whenever a program built against an older header would no longer run; the SONAME carries it. */
#define LORAVK_ABI_VERSION 0

/* "0.1.0". The text lives for ever. */
const char *loravk_version(void);

/* One number to compare by: 1000 for 0.1.0, 1002003 for 1.2.3. */
#define LORAVK_VERSION_NUMBER (LORAVK_VERSION_MAJOR * 1000000 + LORAVK_VERSION_MINOR * 1000 + LORAVK_VERSION_PATCH)

/* LORAVK_VERSION_NUMBER of the library that is loaded. */
int32_t loravk_version_number(void);

/* LORAVK_ABI_VERSION of the library that is loaded. */
int32_t loravk_abi_version(void);

/* Whether the library has something that not every build or version has. Unknown names, and NULL, are false.
 *   "init-functions"   loravk_..._init
 *   "ragged-batches"   loravk_..._ragged
 *   "rows-in-memory"   loravk_data_config.rows, loravk_run_config.validation
 *   "token-losses"     loravk_model_token_losses
 *   "objectives"       loravk_trainer_config.objective, loravk_data_config.format and .objective, and metrics
 *   "heads"            loravk_adapter_config.objective, loravk_model_scores, loravk_model_classify */
bool loravk_has_feature(const char *name);

/* The names that loravk_has_feature knows, `index` from 0; NULL behind the last. They live for ever. */
const char *loravk_feature_name(size_t index);

/* ============================================================================================================ Errors == */

/* Zero is success; treat any other number, known or not, as a failure. Codes are never renumbered. */
typedef int32_t loravk_status;
enum {
    LORAVK_OK = 0,
    LORAVK_ERROR_INVALID_ARGUMENT = 1, /* NULL where it is not allowed, a shape that does not fit, a setting out of range */
    LORAVK_ERROR_INVALID_HANDLE = 2,   /* NULL, released, or a handle of another kind */
    LORAVK_ERROR_INVALID_STATE = 3,    /* not now: recording a graph, or not recording one */
    LORAVK_ERROR_BUSY = 4,             /* the object is inside another call */
    LORAVK_ERROR_BUFFER_TOO_SMALL = 5, /* the text tells the size that is needed */
    LORAVK_ERROR_FILE = 6,             /* a file is missing, damaged, or cannot be written */
    LORAVK_ERROR_NO_DEVICE = 7,        /* no Vulkan loader, driver or device */
    LORAVK_ERROR_UNSUPPORTED = 8,      /* this device, driver or version cannot do it; a model of an unknown architecture */
    LORAVK_ERROR_OUT_OF_MEMORY = 9,    /* of the device or the host */
    LORAVK_ERROR_DEVICE_LOST = 10,     /* sticky: release the context and make another */
    LORAVK_ERROR_DRIVER = 11,          /* a Vulkan call failed in another way */
    LORAVK_ERROR_DIVERGED = 12,        /* the loss or the gradients stopped being numbers; the step was not applied */
    LORAVK_ERROR_FORKED = 13,          /* the process was forked after the first call: use the library in one of the two */
    LORAVK_ERROR_INTERNAL = 14         /* a bug of the library: please report it */
};

/* "LORAVK_OK", "LORAVK_ERROR_FILE"; "unknown status" for a number that this version does not know. Lives for ever. */
const char *loravk_status_name(loravk_status status);

/* What went wrong in this thread's last call, as a sentence; "" where it succeeded. Never NULL. Valid until this thread's next
 * call of a function of this library. */
const char *loravk_last_error(void);

typedef struct loravk_error_detail {
    size_t struct_size;
    loravk_status status;
    int32_t vk_result;    /* VkResult, 0 where Vulkan was not the cause */
    int32_t system_errno; /* errno, 0 where the system was not the cause */
    int32_t reserved;
    int64_t byte_offset; /* in the file, -1 where unknown */
    int64_t line;        /* in the file from 1, -1 where unknown */
    char path[512];      /* "" where no file was the cause; cut where longer */
    char tensor[256];    /* "" where no tensor was the cause */
    char message[1024];  /* as loravk_last_error, cut where longer */
} loravk_error_detail;

#define LORAVK_ERROR_DETAIL_INIT {sizeof(loravk_error_detail), 0, 0, 0, 0, -1, -1, {0}, {0}, {0}}

loravk_status loravk_error_detail_init(loravk_error_detail *detail, size_t struct_size);

/* This thread's last error in its parts. It leaves the error as it is. */
loravk_status loravk_last_error_detail(loravk_error_detail *detail);

typedef int32_t loravk_log_level;
enum { LORAVK_LOG_DEBUG = 0, LORAVK_LOG_INFO = 1, LORAVK_LOG_WARNING = 2, LORAVK_LOG_ERROR = 3 };

/* Called from whatever thread has something to tell, with no lock held. `text` lives for the call. Do not call the library. */
typedef void (*loravk_log_callback)(void *user_data, loravk_log_level level, const char *text);

/* Frees `user_data`; called once, when the library will not use it again. */
typedef void (*loravk_destructor)(void *user_data);

/* Where warnings go; without a callback (or with NULL) they are dropped. The one before is destroyed once no thread is inside
 * it. `destructor` may be NULL. Any thread. On failure the old callback stays and `destructor` is not called. */
loravk_status loravk_set_log_callback(
    loravk_log_callback callback, loravk_log_level lowest, void *user_data, loravk_destructor destructor);

/* =========================================================================================================== Threads == */
/*
 * Any function may be called from any thread. Calls that use the same context wait for one another, so a context and all that
 * belongs to it may be shared; contexts do not wait for each other, and one context a thread runs in parallel. Callbacks run
 * on the thread that made the call, with no lock held: they may call the library, except for the object that is inside the
 * call (a trainer in loravk_trainer_run), which answers LORAVK_ERROR_BUSY. Releasing a handle while another thread is inside
 * a call with it is legal: the object goes when the call is done. After fork() only one process may go on using the library;
 * the child gets LORAVK_ERROR_FORKED, and its releases do nothing.
 */

/* =========================================================================================================== Devices == */

typedef int32_t loravk_device_type;
enum {
    LORAVK_DEVICE_DISCRETE = 0,
    LORAVK_DEVICE_INTEGRATED = 1,
    LORAVK_DEVICE_VIRTUAL = 2,
    LORAVK_DEVICE_CPU = 3,
    LORAVK_DEVICE_OTHER = 4
};

typedef struct loravk_device_info {
    size_t struct_size;
    char name[256];
    char driver[256];
    loravk_device_type type;
    int32_t vulkan_major;
    int32_t vulkan_minor;
    uint32_t vendor_id;
    uint32_t device_id;
    int32_t subgroup_size;
    int64_t memory_bytes;             /* of the largest device-local heap; 0 where unknown */
    int64_t max_allocation_bytes;     /* the largest tensor */
    int64_t max_storage_buffer_bytes; /* what one kernel may see of it: larger tensors are worked on in parts */
    int64_t import_alignment_bytes;   /* of loravk_tensor_import; 0 where the device cannot */
    int32_t max_workgroup_size;
    int32_t reserved;
} loravk_device_info;

#define LORAVK_DEVICE_INFO_INIT {sizeof(loravk_device_info), {0}, {0}, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}

loravk_status loravk_device_info_init(loravk_device_info *info, size_t struct_size);

/* Devices that can be used, best first: discrete, integrated, virtual, CPU. */
loravk_status loravk_device_count(size_t *count);

/* `index` counts from 0 in that order. */
loravk_status loravk_device_get_info(size_t index, loravk_device_info *info);

/* A device that is open, and everything made on it. Arithmetic is f32, unless `lora-vk tune` found a GPU's matrix units faster
 * for products with a model's weights, whose factors it then rounds to f16 (`lora-vk tune --no-matrix-units`). */
typedef struct loravk_context loravk_context;

typedef struct loravk_context_config {
    size_t struct_size;
    const char *device; /* an index or a part of a name; NULL: the variable LORAVK_DEVICE, else the best */
    bool display_friendly; /* the device gets its work in pieces of 8 ms instead of 250, so that a desktop on the same GPU
                              stays fluid; changes no bit of any result */
    uint8_t reserved[7];
} loravk_context_config;

#define LORAVK_CONTEXT_CONFIG_INIT {sizeof(loravk_context_config), NULL, false, {0}}

loravk_status loravk_context_config_init(loravk_context_config *config, size_t struct_size);

/* `config` may be NULL for the defaults. */
loravk_status loravk_context_create(const loravk_context_config *config, loravk_context **context);
loravk_status loravk_context_get_device_info(loravk_context *context, loravk_device_info *info);

/* Device memory that this context holds from the driver. */
loravk_status loravk_context_get_held_bytes(loravk_context *context, int64_t *bytes);
void loravk_context_release(loravk_context *context);

/* =========================================================================================== Tensors and operations == */

/* An array in device memory. */
typedef struct loravk_tensor loravk_tensor;

typedef int32_t loravk_dtype;
enum { LORAVK_F32 = 0, LORAVK_F16 = 1, LORAVK_BF16 = 2, LORAVK_I32 = 3 };

#define LORAVK_MAX_DIMENSIONS 8

typedef struct loravk_tensor_info {
    size_t struct_size;
    loravk_dtype dtype;
    int32_t dimensions;
    int64_t shape[LORAVK_MAX_DIMENSIONS]; /* 0 from `dimensions` on */
    int64_t byte_count;
} loravk_tensor_info;

#define LORAVK_TENSOR_INFO_INIT {sizeof(loravk_tensor_info), 0, 0, {0}, 0}

loravk_status loravk_tensor_info_init(loravk_tensor_info *info, size_t struct_size);

/* A tensor of zeros. `dimensions` is 0 to 8 (0: one number, `shape` may be NULL), each at least 0. */
loravk_status loravk_tensor_create(
    loravk_context *context, loravk_dtype dtype, const int64_t *shape, size_t dimensions, loravk_tensor **tensor);

/* A tensor in host memory that is there already (VK_EXT_external_memory_host), without a copy. `data` and `byte_count` are
 * multiples of the device's import_alignment_bytes; the tensor has at most `byte_count` bytes, a multiple of 16. `data` must
 * stay until `destructor(user_data)` (may be NULL) tells that it is needed no longer, and may be read and written whenever no
 * operation on the tensor runs. LORAVK_ERROR_UNSUPPORTED where the device or the memory is not made for it; on failure
 * `destructor` is not called. */
loravk_status loravk_tensor_import(
    loravk_context *context, loravk_dtype dtype, const int64_t *shape, size_t dimensions, void *data, size_t byte_count,
    void *user_data, loravk_destructor destructor, loravk_tensor **tensor);
loravk_status loravk_tensor_get_info(loravk_tensor *tensor, loravk_tensor_info *info);

/* `byte_count` must be the tensor's. Both wait until the device is done with it. */
loravk_status loravk_tensor_upload(loravk_tensor *tensor, const void *data, size_t byte_count);
loravk_status loravk_tensor_download(loravk_tensor *tensor, void *data, size_t byte_count);

/* The tensor's own memory, where the host sees it (CPU and integrated devices), else LORAVK_ERROR_UNSUPPORTED. Valid until the
 * tensor is released. Do not touch it while another thread runs operations on the tensor. */
loravk_status loravk_tensor_map(loravk_tensor *tensor, void **data);
void loravk_tensor_release(loravk_tensor *tensor);

/*
 * Operations run on the context of their tensors, which must be one context's, and are done when the call returns; between
 * loravk_graph_begin and loravk_graph_end they are recorded instead. A tensor of any dimensions is seen as rows of its last
 * dimension. Operands are f32 unless told otherwise. A destination may not be an operand, except where it says so.
 */

/* Every number of the tensor, of any dtype, becomes 0. */
loravk_status loravk_zero(loravk_tensor *tensor);

/* y = x, converted to y's dtype (f32, f16 and bf16 to one another, rounded to nearest even; i32 to i32). As many elements. */
loravk_status loravk_copy(loravk_tensor *y, loravk_tensor *x);

/* y = factor * x; y may be x. As many elements. */
loravk_status loravk_scale(loravk_tensor *y, loravk_tensor *x, float factor);

/* y = a + factor * b; y may be a or b. As many elements. */
loravk_status loravk_add(loravk_tensor *y, loravk_tensor *a, loravk_tensor *b, float factor);

typedef int32_t loravk_matmul_op;
enum {
    LORAVK_MATMUL_NN = 0, /* a (M, K), b (K, N):  a * b   */
    LORAVK_MATMUL_NT = 1, /* a (M, K), b (N, K):  a * b^T */
    LORAVK_MATMUL_TN = 2  /* a (K, M), b (K, N):  a^T * b */
};

/* y (M, N) = scale * op(a, b), or y += that where `accumulate`. Any sizes. */
loravk_status loravk_matmul(
    loravk_tensor *y, loravk_tensor *a, loravk_tensor *b, loravk_matmul_op op, float scale, bool accumulate);

/* A linear layer with its adapter in one pass: h (N, R) = scaling * x * a^T, y (N, O) = x * w^T + h * b^T.
 * x (N, I); w (O, I) f32, f16 or bf16, frozen; a (R, I); b (O, R). h is needed by the backward.
 * None of N, I, O, R is 0. A f16 or bf16 w is repacked for the device when it is first used, and again after it was written by
 * a call or mapped; a graph keeps the values that it was recorded with. */
loravk_status loravk_lora_linear_forward(
    loravk_tensor *y, loravk_tensor *h, loravk_tensor *x, loravk_tensor *w, loravk_tensor *a, loravk_tensor *b,
    float scaling);

/* With g (N, R) = scaling * dy * b: dx (N, I) = dy * w + g * a (or dx += that where `accumulate_dx`; dx may be NULL),
 * da (R, I) += g^T * x, db (O, R) += dy^T * h. */
loravk_status loravk_lora_linear_backward(
    loravk_tensor *dx, loravk_tensor *da, loravk_tensor *db, loravk_tensor *dy, loravk_tensor *x, loravk_tensor *h,
    loravk_tensor *w, loravk_tensor *a, loravk_tensor *b, float scaling, bool accumulate_dx);

/* y = x * rstd * weight, rstd = 1 / sqrt(mean(x^2) + epsilon). x, y (N, C), C a multiple of 4; weight (C); rstd (N), for the
 * backward. */
loravk_status loravk_rms_norm_forward(
    loravk_tensor *y, loravk_tensor *rstd, loravk_tensor *x, loravk_tensor *weight, float epsilon);

/* dx (N, C) from dy (N, C), with the weight frozen; dx += that where `accumulate`. */
loravk_status loravk_rms_norm_backward(
    loravk_tensor *dx, loravk_tensor *dy, loravk_tensor *x, loravk_tensor *weight, loravk_tensor *rstd, bool accumulate);

/* losses (N) = -log softmax(logits)[label]. logits (N, V), V a multiple of 4; labels (N) i32; a label outside 0 to V-1 gives the
 * loss 0. */
loravk_status loravk_cross_entropy_forward(loravk_tensor *losses, loravk_tensor *logits, loravk_tensor *labels);

/* losses as above, and dlogits (N, V) = scale * (softmax(logits) - onehot(label)), zero rows where a label is ignored.
 * dlogits may be logits. For the mean over n labels, scale is 1 / n. */
loravk_status loravk_cross_entropy_backward(
    loravk_tensor *dlogits, loravk_tensor *losses, loravk_tensor *logits, loravk_tensor *labels, float scale);

/* y (N, C) = table[ids]; ids (N) i32; table (V, C), C a multiple of 4. An id outside the table gives a row of zeros. */
loravk_status loravk_embedding(loravk_tensor *y, loravk_tensor *ids, loravk_tensor *table);

typedef struct loravk_attention_config {
    size_t struct_size;
    int32_t heads;            /* H */
    int32_t kv_heads;         /* K, a divisor of H */
    const int32_t *lengths;   /* tokens of each sequence, N in all; NULL: one sequence */
    size_t sequences;         /* how many lengths */
} loravk_attention_config;

#define LORAVK_ATTENTION_CONFIG_INIT {sizeof(loravk_attention_config), 1, 1, NULL, 0}

loravk_status loravk_attention_config_init(loravk_attention_config *config, size_t struct_size);

/* Causal attention inside each sequence, scores scaled by 1 / sqrt(D). q, out (N, H*D); k, v (N, K*D); lse (N, H), the log of
 * each softmax's denominator, for the backward. D is a multiple of 4, at most 256. */
loravk_status loravk_attention_forward(
    loravk_tensor *out, loravk_tensor *lse, loravk_tensor *q, loravk_tensor *k, loravk_tensor *v,
    const loravk_attention_config *config);

/* dq, dk, dv are overwritten. dout (N, H*D) is the gradient of out. */
loravk_status loravk_attention_backward(
    loravk_tensor *dq, loravk_tensor *dk, loravk_tensor *dv, loravk_tensor *dout, loravk_tensor *out, loravk_tensor *lse,
    loravk_tensor *q, loravk_tensor *k, loravk_tensor *v, const loravk_attention_config *config);

/* norm = sqrt of the sum of all squares; where it is above `max_norm` (and that above 0), every gradient is scaled by
 * max_norm / norm. `norm` may be NULL. Not inside a recording. A norm that is not finite is LORAVK_ERROR_DIVERGED, and the
 * gradients are as they were. */
loravk_status loravk_clip_gradient_norm(loravk_tensor *const *gradients, size_t count, double max_norm, double *norm);

/* ---------------------------------------------------------------------------------------------------------- Optimizer -- */

typedef struct loravk_optimizer loravk_optimizer;

typedef struct loravk_optimizer_config {
    size_t struct_size;
    double beta1;
    double beta2;
    double epsilon;
    double weight_decay;
    double max_grad_norm; /* gradients are scaled down to this global norm; 0: never */
} loravk_optimizer_config;

#define LORAVK_OPTIMIZER_CONFIG_INIT {sizeof(loravk_optimizer_config), 0.9, 0.999, 1e-8, 0.0, 0.0}

loravk_status loravk_optimizer_config_init(loravk_optimizer_config *config, size_t struct_size);

/* AdamW (Loshchilov & Hutter 2019) for a set of f32 tensors and their gradients, pair by pair of one shape, at least one pair.
 * It keeps the tensors alive. `config` may be NULL. */
loravk_status loravk_optimizer_create(
    const loravk_optimizer_config *config, loravk_tensor *const *parameters, loravk_tensor *const *gradients, size_t count,
    loravk_optimizer **optimizer);

/* One step. `grad_norm` (may be NULL) gets the global norm before clipping. Not inside a recording. Where the norm is not
 * finite, nothing changes and the status is LORAVK_ERROR_DIVERGED. Gradients stay as they are. */
loravk_status loravk_optimizer_step(loravk_optimizer *optimizer, double learning_rate, double *grad_norm);

/* Every gradient becomes 0. */
loravk_status loravk_optimizer_zero_gradients(loravk_optimizer *optimizer);
void loravk_optimizer_release(loravk_optimizer *optimizer);

/* ------------------------------------------------------------------------------------------------------------- Graphs -- */

/* Operations that were recorded once and run as often as wanted, on what the tensors hold then. It keeps them alive. */
typedef struct loravk_graph loravk_graph;

/* From here on operations of this context, whatever thread calls them, are recorded and not run. Uploads and downloads are
 * allowed and happen at once. Only one recording a context at a time. */
loravk_status loravk_graph_begin(loravk_context *context);

/* Ends the recording, also where it fails: an operation that failed while it was recorded fails the graph. */
loravk_status loravk_graph_end(loravk_context *context, loravk_graph **graph);

/* Runs all of it and waits. */
loravk_status loravk_graph_run(loravk_graph *graph);
void loravk_graph_release(loravk_graph *graph);

/* ============================================================================================================ Models == */

/* A tokenizer never changes and belongs to no context. */
typedef struct loravk_tokenizer loravk_tokenizer;
/* A model with its frozen weights on the device. */
typedef struct loravk_model loravk_model;
/* A LoRA adapter of a model: its parameters and their gradients. */
typedef struct loravk_adapter loravk_adapter;

/* `done` of `total` weights are on the device. Return false to give up: the call fails with LORAVK_ERROR_INVALID_STATE. */
typedef bool (*loravk_load_callback)(void *user_data, int64_t done, int64_t total);

typedef struct loravk_model_config {
    size_t struct_size;
    const char *weights; /* how weights are stored: NULL or "auto" (as in the file where kernels read it), "f32", "f16", "bf16" */
    loravk_load_callback on_progress; /* may be NULL */
    void *user_data;
} loravk_model_config;

#define LORAVK_MODEL_CONFIG_INIT {sizeof(loravk_model_config), NULL, NULL, NULL}

loravk_status loravk_model_config_init(loravk_model_config *config, size_t struct_size);

typedef struct loravk_model_info {
    size_t struct_size;
    int32_t vocab_size;
    int32_t hidden_size;
    int32_t intermediate_size;
    int32_t layers;
    int32_t heads;
    int32_t kv_heads;
    int32_t head_size;
    int32_t context_length; /* the most tokens of a sequence */
    int64_t weight_bytes;   /* on the device; from loravk_model_inspect, in the file */
    char model_type[64];    /* Hugging Face's word */
    int64_t parameters;     /* numbers in all weights */
} loravk_model_info;

#define LORAVK_MODEL_INFO_INIT {sizeof(loravk_model_info), 0, 0, 0, 0, 0, 0, 0, 0, 0, {0}, 0}

loravk_status loravk_model_info_init(loravk_model_info *info, size_t struct_size);

/* `path` is a GGUF file or a Hugging Face folder. `config` may be NULL. */
loravk_status loravk_model_load(
    loravk_context *context, const char *path, const loravk_model_config *config, loravk_model **model);
loravk_status loravk_model_get_info(loravk_model *model, loravk_model_info *info);

/* A tensor of a file: its name, the type that it is stored in ("Q4_1"), its shape. The texts and the shape live for the call. */
typedef void (*loravk_inspect_callback)(
    void *user_data, const char *name, const char *type, const int64_t *shape, size_t dimensions);

/* What a model is, from its file or folder alone, after all of it but the weights' values was checked; no device is used.
 * `on_tensor` may be NULL. */
loravk_status loravk_model_inspect(
    const char *path, loravk_inspect_callback on_tensor, void *user_data, loravk_model_info *info);

/* The linear layers that an adapter can adapt, in order, by Hugging Face's names ("model.layers.0.self_attn.q_proj").
 * The name lives as long as the model's handle. */
loravk_status loravk_model_linear_count(loravk_model *model, size_t *count);
loravk_status loravk_model_get_linear_name(loravk_model *model, size_t index, const char **name);

/* The tokenizer that came with the model, as a handle of the caller's. */
loravk_status loravk_model_get_tokenizer(loravk_model *model, loravk_tokenizer **tokenizer);

/* logits (B, T, V) of tokens (B, T): for each token what may follow it. `adapter` may be NULL. `count` is B * T * V. */
loravk_status loravk_model_logits(
    loravk_model *model, loravk_adapter *adapter, const int32_t *tokens, size_t batch, size_t length, float *logits,
    size_t count);

/* logits (N, V) of sequences of different lengths, as loravk_trainer_step_ragged takes them. `count` is N * V. */
loravk_status loravk_model_logits_ragged(
    loravk_model *model, loravk_adapter *adapter, const int32_t *tokens, const int32_t *lengths, size_t sequences,
    float *logits, size_t count);
void loravk_model_release(loravk_model *model);

/* --------------------------------------------------------------------------------------------------------- Tokenizers -- */

/* The tokenizer of a model, without the model: `path` is a GGUF file or a Hugging Face folder. */
loravk_status loravk_tokenizer_load(const char *path, loravk_tokenizer **tokenizer);

/* One more than the largest id. */
loravk_status loravk_tokenizer_vocab_size(loravk_tokenizer *tokenizer, int32_t *size);

/* Ids of the tokens with a meaning, -1 where there is none. Each pointer may be NULL. */
loravk_status loravk_tokenizer_special_ids(loravk_tokenizer *tokenizer, int32_t *bos, int32_t *eos, int32_t *pad);

/* Token ids of `length` bytes of text. `add_special` adds what the model expects around a text. `count` gets their number.
 * With `tokens` NULL (and capacity 0) only that; with too little room, LORAVK_ERROR_BUFFER_TOO_SMALL. */
loravk_status loravk_tokenizer_encode(
    loravk_tokenizer *tokenizer, const char *text, size_t length, bool add_special, int32_t *tokens, size_t capacity,
    size_t *count);

/* The text of `count` ids; ids outside the vocabulary are left out. `length` gets its bytes, without the NUL that is written
 * behind them. With `text` NULL (and capacity 0) only that; capacity must be at least length + 1. */
loravk_status loravk_tokenizer_decode(
    loravk_tokenizer *tokenizer, const int32_t *tokens, size_t count, bool skip_special, char *text, size_t capacity,
    size_t *length);

/* A conversation as the model's chat template writes it, to be encoded with add_special false. `roles` ("user", "assistant",
 * "system") and `contents` are `count` strings each. Output as loravk_tokenizer_decode. LORAVK_ERROR_UNSUPPORTED where the
 * tokenizer came without a template. */
loravk_status loravk_tokenizer_apply_chat_template(
    loravk_tokenizer *tokenizer, const char *const *roles, const char *const *contents, size_t count,
    bool add_generation_prompt, char *text, size_t capacity, size_t *length);
void loravk_tokenizer_release(loravk_tokenizer *tokenizer);

/* --------------------------------------------------------------------------------------------------------------- Data -- */

/* `done` of `total` examples were gone through. Return false to give up: the call fails with LORAVK_ERROR_INVALID_STATE. */
typedef bool (*loravk_data_callback)(void *user_data, int64_t done, int64_t total);

typedef struct loravk_data_config {
    size_t struct_size;
    const char *path;                /* .jsonl or .txt, or a folder with train.jsonl (and valid.jsonl); NULL: `rows` */
    const char *prompt_template;     /* "Review: {text}"; NULL: by the lines' own keys */
    const char *completion_template; /* " {label:bad|good}"; with a prompt template, or NULL */
    int32_t max_tokens;              /* longer examples are cut */
    bool learn_prompts;              /* prompts' tokens are targets too */
    bool no_end;                     /* do not put the end-of-text token behind texts and completions */
    uint8_t reserved[2];
    loravk_data_callback on_progress; /* of loravk_model_evaluate_data; may be NULL */
    void *user_data;
    const char *const *rows; /* examples in memory, in the place of `path` (NULL then): each a JSON object, as a line of a .jsonl
                                file is. Errors name them data.rows[i]. Read only inside the call */
    size_t row_count;
    const char *format;    /* what the rows are ("chat", "preference" …, as `lora-vk train --help` lists them); NULL: their keys tell */
    const char *objective; /* what the examples are for, as in loravk_trainer_config; NULL: the trainer's, or "causal" */
} loravk_data_config;

#define LORAVK_DATA_CONFIG_INIT                                                                                             \
    {sizeof(loravk_data_config), NULL, NULL, NULL, 512, false, false, {0}, NULL, NULL, NULL, 0, NULL, NULL}

loravk_status loravk_data_config_init(loravk_data_config *config, size_t struct_size);

/* ========================================================================================================== Adapters == */

typedef struct loravk_adapter_config {
    size_t struct_size;
    const char *method; /* "name" or "name:option=number,option=number", as `lora-vk train --help` lists them; NULL: "lora" */
    const char *init;   /* how the matrices start, likewise; NULL: the method's own, "kaiming" where it has none */
    int32_t rank;
    bool use_rslora; /* scaling alpha / sqrt(rank) instead of alpha / rank */
    uint8_t reserved[3];
    double alpha; /* 0: twice the rank */
    double dropout;
    const char *const *target_modules; /* names, or their last parts, `*` for any text; NULL: all linear layers */
    size_t target_module_count;
    const char *const *rate_modules; /* modules whose learning rate is multiplied, named as targets are; the last match holds */
    const double *rate_multipliers;  /* one for each; 0 freezes */
    size_t rate_count;
    uint64_t seed;
    const loravk_data_config *data; /* what an init that looks at training data ("eva", "lora-ga") looks at; NULL: none. With an
                                       objective it is what the labels are of */
    const char *objective;     /* NULL, or one that trains a head: "classification", "multilabel", "regression", "reward". The adapter
                                  then has the head of a classifier (score.weight), which trains whole */
    const char *const *labels; /* names of the head's outputs; NULL: those of `data`, else as many as the objective's labels=N */
    size_t label_count;
    const char *const *modules_to_save; /* "embed_tokens", "lm_head": copies of the embedding and the output, which train whole */
    size_t module_to_save_count;
} loravk_adapter_config;

#define LORAVK_ADAPTER_CONFIG_INIT                                                                                          \
    {sizeof(loravk_adapter_config), NULL, NULL, 8, false, {0}, 0.0, 0.0, NULL, 0, NULL, NULL, 0, 0, NULL, NULL, NULL, 0, NULL, 0}

loravk_status loravk_adapter_config_init(loravk_adapter_config *config, size_t struct_size);

/* A new adapter, which does not change the model's output yet. `config` may be NULL. */
loravk_status loravk_adapter_create(
    loravk_model *model, const loravk_adapter_config *config, loravk_adapter **adapter);

/* An adapter that PEFT or loravk_adapter_save wrote. */
loravk_status loravk_adapter_load(loravk_model *model, const char *folder, loravk_adapter **adapter);

/* Writes PEFT's two files into a folder, which is made where it is missing; whole, or not at all. */
loravk_status loravk_adapter_save(loravk_adapter *adapter, const char *folder);

typedef struct loravk_adapter_info {
    size_t struct_size;
    int32_t rank; /* of most modules: a file may give some another */
    int32_t modules;
    int64_t parameters; /* numbers in all of them */
    double alpha;
    double dropout;
    bool use_rslora;
    uint8_t reserved[7];
    char method[256];     /* as loravk_adapter_config takes it */
    char base_model[512]; /* what the file says that it was made for; "" where it says nothing */
} loravk_adapter_info;

#define LORAVK_ADAPTER_INFO_INIT {sizeof(loravk_adapter_info), 0, 0, 0, 0, 0, false, {0}, {0}, {0}}

loravk_status loravk_adapter_info_init(loravk_adapter_info *info, size_t struct_size);

loravk_status loravk_adapter_get_info(loravk_adapter *adapter, loravk_adapter_info *info);

/* The same from a folder alone, after all of it was checked; no device and no model are used. Of what is saved as LoRA (DeLoRA,
 * LoRA+ …) the folder knows no more than that. `on_tensor` may be NULL. */
loravk_status loravk_adapter_inspect(
    const char *folder, loravk_inspect_callback on_tensor, void *user_data, loravk_adapter_info *info);

typedef struct loravk_parameter_info {
    size_t struct_size;
    const char *name; /* PEFT's key; lives as long as the adapter's handle */
    int64_t count;    /* floats */
    int32_t dimensions;
    int32_t reserved;
    int64_t shape[LORAVK_MAX_DIMENSIONS]; /* A is (R, I), B is (O, R) */
} loravk_parameter_info;

#define LORAVK_PARAMETER_INFO_INIT {sizeof(loravk_parameter_info), NULL, 0, 0, 0, {0}}

loravk_status loravk_parameter_info_init(loravk_parameter_info *info, size_t struct_size);

/* Parameters (whatever the method has) are numbered from 0 and named as in PEFT's files:
 * "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight". */
loravk_status loravk_adapter_parameter_count(loravk_adapter *adapter, size_t *count);
loravk_status loravk_adapter_get_parameter_info(loravk_adapter *adapter, size_t index, loravk_parameter_info *info);

/* `count` must be the parameter's. Values in the order of the shape. Gradients may be read and written between
 * loravk_trainer_forward_backward and loravk_trainer_apply, so that a program can reduce them over machines. */
loravk_status loravk_adapter_read_parameter(loravk_adapter *adapter, size_t index, float *values, size_t count);
loravk_status loravk_adapter_write_parameter(loravk_adapter *adapter, size_t index, const float *values, size_t count);
loravk_status loravk_adapter_read_gradient(loravk_adapter *adapter, size_t index, float *values, size_t count);
loravk_status loravk_adapter_write_gradient(loravk_adapter *adapter, size_t index, const float *values, size_t count);
void loravk_adapter_release(loravk_adapter *adapter);

/* The outputs of an adapter's head, 0 where it has none, and their names, which live as long as the adapter's handle. */
loravk_status loravk_adapter_label_count(loravk_adapter *adapter, size_t *count);
loravk_status loravk_adapter_get_label(loravk_adapter *adapter, size_t index, const char **name);

/* A new adapter that changes what `count` adapters of the model change together, each multiplied by its weight: the exact sum,
 * whose rank is the sum of theirs. DoRA and VeRA are no such sums: LORAVK_ERROR_UNSUPPORTED. */
loravk_status loravk_adapter_mix(
    loravk_model *model, loravk_adapter *const *adapters, const double *weights, size_t count, loravk_adapter **mixed);

/* ========================================================================================================== Training == */

typedef struct loravk_trainer loravk_trainer;

typedef struct loravk_trainer_config {
    size_t struct_size;
    double learning_rate;
    double beta1;
    double beta2;
    double epsilon;
    double weight_decay;
    double max_grad_norm; /* 0: no clipping */
    uint64_t seed;        /* of dropout */
    int32_t recomputed_blocks; /* lowest blocks whose activations the backward computes again instead of keeping them */
    int32_t reserved;
    const char *objective; /* what is minimised: "name" or "name:option=number,option=number", as `lora-vk train --help` lists them
                              ("dpo:beta=0.1"); NULL: "causal". All others train by loravk_trainer_run */
    const char *optimizer; /* NULL: "adamw" with beta1, beta2 and epsilon above. Else "lion:beta2=0.98", with its own options */
    double neftune; /* noise on the embeddings in training: NEFTune's alpha; 0: none */
} loravk_trainer_config;

#define LORAVK_TRAINER_CONFIG_INIT {sizeof(loravk_trainer_config), 5e-4, 0.9, 0.999, 1e-8, 0.0, 1.0, 0, 0, 0, NULL, NULL, 0.0}

loravk_status loravk_trainer_config_init(loravk_trainer_config *config, size_t struct_size);

typedef struct loravk_step_result {
    size_t struct_size;
    double loss;      /* mean over the counted targets */
    double grad_norm; /* global, before clipping; 0 from forward_backward */
    double seconds;
    int64_t tokens;
    int64_t counted_tokens; /* targets that the loss counts */
} loravk_step_result;

#define LORAVK_STEP_RESULT_INIT {sizeof(loravk_step_result), 0, 0, 0, 0, 0}

loravk_status loravk_step_result_init(loravk_step_result *result, size_t struct_size);

/* AdamW, or the optimizer that `config` names, on an adapter of the model. `config` may be NULL. Optimizers are written
 * name[:option=number,…], as the program's --optimizer, whose help and docs/training.md list them. */
loravk_status loravk_trainer_create(
    loravk_model *model, loravk_adapter *adapter, const loravk_trainer_config *config, loravk_trainer **trainer);

/* The rate of the following steps; positive. */
loravk_status loravk_trainer_set_learning_rate(loravk_trainer *trainer, double learning_rate);

/* Steps that were applied. */
loravk_status loravk_trainer_step_count(loravk_trainer *trainer, int64_t *steps);

/* One whole step: gradients cleared, forward, backward, optimizer. tokens and labels (B, T); labels NULL: the tokens. Token t of
 * a row is predicted from those before it, so labels are not shifted and the first of a row never counts; a negative label
 * (-100) does not count. `result` may be NULL. After LORAVK_ERROR_DIVERGED the parameters are as before. */
loravk_status loravk_trainer_step(
    loravk_trainer *trainer, const int32_t *tokens, const int32_t *labels, size_t batch, size_t length,
    loravk_step_result *result);

/* Forward and backward alone. The gradients of (sum of losses) / `divisor` are added to those that are there, which are
 * cleared first where they were applied already; divisor 0 is this batch's own number of counted targets. */
loravk_status loravk_trainer_forward_backward(
    loravk_trainer *trainer, const int32_t *tokens, const int32_t *labels, size_t batch, size_t length, int64_t divisor,
    loravk_step_result *result);

/* The same for sequences of different lengths, of which no padding is computed: tokens and labels (N), one sequence behind the
 * other, of lengths[0], lengths[1] … tokens, each at least 1 and N together. */
loravk_status loravk_trainer_step_ragged(
    loravk_trainer *trainer, const int32_t *tokens, const int32_t *labels, const int32_t *lengths, size_t sequences,
    loravk_step_result *result);
loravk_status loravk_trainer_forward_backward_ragged(
    loravk_trainer *trainer, const int32_t *tokens, const int32_t *labels, const int32_t *lengths, size_t sequences,
    int64_t divisor, loravk_step_result *result);

/* The optimizer alone, on the gradients that are there. `grad_norm` may be NULL. */
loravk_status loravk_trainer_apply(loravk_trainer *trainer, double *grad_norm);
loravk_status loravk_trainer_zero_gradients(loravk_trainer *trainer);

/* The exact state between two steps, in one safetensors file: parameters, also those before the last step, what the optimizer
 * keeps, how many steps and passes were made, and the seed. Not in it: the learning rate, gradients that were not applied, and which tokens come next. The file appears when
 * it is complete. */
loravk_status loravk_trainer_save_state(loravk_trainer *trainer, const char *path);

/* Goes on from that file, in a trainer whose model and adapter were made as those of the trainer that saved it: to the same bits, on
 * the same device. A state of another optimizer is refused. On failure the trainer is as before. */
loravk_status loravk_trainer_load_state(loravk_trainer *trainer, const char *path);

/* What an objective tells beside the loss: "rewards/chosen", "rewards/accuracies" … (TRL's names). The name lives for ever. */
typedef struct loravk_metric {
    const char *name;
    double value;
} loravk_metric;

typedef struct loravk_progress {
    size_t struct_size;
    int64_t step; /* steps done, from 1 */
    int64_t steps;
    double loss;
    double grad_norm;
    double learning_rate;
    double seconds;
    double tokens_per_second;
    double seconds_left;    /* NaN while only steps were made that compile kernels */
    double validation_loss; /* NaN where this step had none */
    int64_t tokens;
    int64_t counted_tokens;
    const loravk_metric *metrics; /* of the step; these live for the call */
    size_t metric_count;
    const loravk_metric *validation_metrics; /* none where this step had no validation */
    size_t validation_metric_count;
} loravk_progress;

/* After each step of a run, on the thread that runs it. Return false to stop: the adapter is saved and the run ends well.
 * `progress` lives for the call. */
typedef bool (*loravk_progress_callback)(void *user_data, const loravk_progress *progress);

/* Something went wrong that does not end the run (a save in between on a full disk). `text` lives for the call. */
typedef void (*loravk_warning_callback)(void *user_data, const char *text);

/* The adapter was saved into `folder` after `step` steps. */
typedef void (*loravk_save_callback)(void *user_data, int64_t step, const char *folder);

/* An answer to a prompt of `sample_prompts`, at a validation. */
typedef void (*loravk_sample_callback)(void *user_data, int64_t step, const char *prompt, const char *answer);

typedef struct loravk_run_config {
    size_t struct_size;
    const loravk_data_config *data; /* required */
    const char *output;   /* folder for the adapter and metrics.jsonl; NULL: nothing is written */
    const char *schedule; /* NULL or "cosine"; "linear", "constant", "wsd:decay=0.1" …, as the program's --schedule */
    int32_t warmup_steps; /* -1: a twentieth of all, at most 100 */
    int32_t batch_size;
    int32_t accumulation; /* batches a step */
    int32_t save_every;   /* steps between saves; 0: only at the end */
    int32_t validate_every;
    bool overwrite;  /* replace an adapter that is in `output` */
    bool no_shuffle; /* keep the order of the data */
    uint8_t reserved[2];
    int64_t steps; /* 0: as `epochs` says */
    int64_t tokens_per_pass; /* batches of more tokens are split into several passes; 0: never */
    uint64_t seed;           /* of the order */
    loravk_progress_callback on_progress; /* may be NULL */
    loravk_warning_callback on_warning;   /* NULL: to the log callback */
    void *user_data;
    double epochs; /* above 0: passes over the data, in the place of `steps`; 0, with steps 0: three, at most 1000 steps */
    bool resume;   /* go on where the same run into `output` was stopped or killed, to the same bits; without one, begin. The
                      adapter and all settings must be made as that run's were */
    uint8_t reserved_2[7];
    const loravk_data_config *validation; /* NULL: valid.jsonl, where `data` is a folder that has one */
    int32_t keep_checkpoints; /* above 0: each save makes a folder checkpoint-STEP in `output` too, and so many of the last stay */
    int32_t patience;         /* above 0: end after so many validations in a row whose loss was not lower than the best by more than */
    double min_improvement;   /* this */
    double max_seconds; /* above 0: stop at the end of the step in which so much time has passed; `resume` goes on */
    bool keep_best;     /* end with the adapter of the lowest validation loss, in the trainer and in `output` */
    uint8_t reserved_3[3];
    int32_t sample_tokens; /* of an answer, at most */
    const char *const *sample_prompts; /* answered at each validation, by the likeliest tokens; in metrics.jsonl too */
    size_t sample_count;
    loravk_sample_callback on_sample; /* may be NULL */
    loravk_save_callback on_save;     /* may be NULL */
} loravk_run_config;

#define LORAVK_RUN_CONFIG_INIT                                                                                              \
    {sizeof(loravk_run_config), NULL, NULL, NULL, -1, 8, 1, 100, 100, false, false, {0}, 0, 0, 0, NULL,                      \
     NULL, NULL, 0.0, false, {0}, NULL, 0, 0, 0.0, 0.0, false, {0}, 60, NULL, 0, NULL, NULL}

loravk_status loravk_run_config_init(loravk_run_config *config, size_t struct_size);

typedef int32_t loravk_run_ending;
enum {
    LORAVK_RUN_FINISHED = 0,
    LORAVK_RUN_STOPPED = 1,  /* by a callback or loravk_trainer_request_stop */
    LORAVK_RUN_PATIENCE = 2, /* the validation loss fell no more */
    LORAVK_RUN_TIME = 3      /* `max_seconds` were over */
};

typedef struct loravk_run_result {
    size_t struct_size;
    int64_t steps; /* done, with those before it was resumed */
    bool stopped;  /* by a callback or loravk_trainer_request_stop */
    uint8_t reserved[7];
    double loss; /* of the last step; NaN without one */
    double validation_loss; /* the last one; NaN without one */
    int64_t best_step;           /* of the lowest validation loss; 0 without one */
    double best_validation_loss; /* NaN without one */
    loravk_run_ending ending;
    int32_t reserved_2;
} loravk_run_result;

#define LORAVK_RUN_RESULT_INIT {sizeof(loravk_run_result), 0, false, {0}, 0, 0, 0, 0, 0, 0}

loravk_status loravk_run_result_init(loravk_run_result *result, size_t struct_size);

/* A whole run on a data file or on rows in memory, from the trainer's learning rate by the schedule. `result` may be NULL. `output` holds the old
 * adapter or the new one at every instant, and until the run has finished training_state.safetensors, from which `resume` goes on.
 * When it fails with LORAVK_ERROR_DIVERGED the adapter of the last good step is in the trainer and in `output`. */
loravk_status loravk_trainer_run(loravk_trainer *trainer, const loravk_run_config *config, loravk_run_result *result);

/* Ends a run after the step that it is in; without a run, the next one before its first step. Any thread; also from a signal
 * handler. A handle that is not a trainer's does nothing. */
void loravk_trainer_request_stop(loravk_trainer *trainer);

/* The last error of a call with this trainer, whatever thread made it; status LORAVK_OK where there was none. */
loravk_status loravk_trainer_get_error_detail(loravk_trainer *trainer, loravk_error_detail *detail);
void loravk_trainer_release(loravk_trainer *trainer);

/* ------------------------------------------------------------------------------------------------------------- Memory -- */

typedef struct loravk_plan_config {
    size_t struct_size;
    const char *weights;                  /* as in loravk_model_config */
    const loravk_adapter_config *adapter; /* NULL: the defaults */
    int64_t budget_bytes; /* of device memory: batches are split, then blocks computed again, until they fit; 0: no limit */
    int32_t batch_size;   /* sequences */
    int32_t length;       /* tokens of each */
    int32_t recomputed_blocks; /* -1: none without a budget, as few as it allows with one */
    int32_t reserved;
    const char *optimizer; /* as in loravk_trainer_config */
} loravk_plan_config;

#define LORAVK_PLAN_CONFIG_INIT {sizeof(loravk_plan_config), NULL, NULL, 0, 8, 512, -1, 0, NULL}

loravk_status loravk_plan_config_init(loravk_plan_config *config, size_t struct_size);

typedef struct loravk_memory_plan {
    size_t struct_size;
    int64_t weight_bytes;
    int64_t adapter_bytes;   /* parameters and gradients */
    int64_t optimizer_bytes; /* what the optimizer keeps, and what is needed to undo a step */
    int64_t activation_bytes;
    int64_t token_bytes;
    int64_t unused_bytes; /* of the blocks that memory is taken from the driver in */
    int64_t total_bytes;
    int64_t available_bytes;   /* what the device has for this process; INT64_MAX where unknown */
    int64_t tokens_per_pass;   /* for loravk_run_config */
    int32_t recomputed_blocks; /* for loravk_trainer_config */
    int32_t reserved;
} loravk_memory_plan;

#define LORAVK_MEMORY_PLAN_INIT {sizeof(loravk_memory_plan), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}

loravk_status loravk_memory_plan_init(loravk_memory_plan *plan, size_t struct_size);

/* What training the model of a file or folder takes of the context's device, to the byte, found without loading it or touching
 * the device; `context` may be NULL for a device that can do the least. `config` may be NULL. LORAVK_ERROR_OUT_OF_MEMORY with
 * the numbers where nothing fits the budget. */
loravk_status loravk_plan_training(
    loravk_context *context, const char *path, const loravk_plan_config *config, loravk_memory_plan *plan);

/* ------------------------------------------------------------------------------------------------------------- Tuning -- */

/* What was measured of one product with a model's weights. */
typedef struct loravk_tune_finding {
    size_t struct_size;
    const char *product;          /* operation, weights' type, tokens and shape; lives for the call */
    double rule_flops_per_second; /* of the kernel that runs where nothing was measured */
    double best_flops_per_second; /* of the fastest */
} loravk_tune_finding;

/* After each product, on the thread that measures. Return false to give up: the call fails with LORAVK_ERROR_INVALID_STATE, and
 * nothing is kept. */
typedef bool (*loravk_tune_callback)(void *user_data, const loravk_tune_finding *finding);

typedef struct loravk_tune_config {
    size_t struct_size;
    const char *weights;   /* as in loravk_model_config */
    const int32_t *tokens; /* of batches to measure, at least one, 16 to 4096 each; NULL: 128 and 512 */
    size_t token_count;
    bool no_matrix_units; /* leave a GPU's matrix units, whose factors are f16: all arithmetic is f32 */
    uint8_t reserved[7];
    loravk_tune_callback on_finding; /* may be NULL */
    void *user_data;
} loravk_tune_config;

#define LORAVK_TUNE_CONFIG_INIT {sizeof(loravk_tune_config), NULL, NULL, 0, false, {0}, NULL, NULL}

loravk_status loravk_tune_config_init(loravk_tune_config *config, size_t struct_size);

/* Measures which kernels run the products of a model (a file or folder, of which only the shapes are read) fastest on the
 * context's device, and keeps that in the cache folder, for contexts that are created from then on, in this process and others.
 * Seconds to a minute, once for a device, its driver and a kind of model; worth it on any GPU. It changes the last digits of
 * results, with matrix units the third. `config` may be NULL. */
loravk_status loravk_context_tune(loravk_context *context, const char *path, const loravk_tune_config *config);

/* Whether the context uses what was measured. */
loravk_status loravk_context_is_tuned(loravk_context *context, bool *tuned);

/* Forgets what was measured on the context's device: contexts created from then on go by the built-in rules.
 * LORAVK_ERROR_FILE where the cache folder does not let it go. */
loravk_status loravk_context_forget_tuning(loravk_context *context);

/* --------------------------------------------------------------------------------------------------------- Evaluation -- */

#define LORAVK_MAX_METRICS 16

typedef struct loravk_evaluation {
    size_t struct_size;
    double loss; /* mean of -log p(target) over the counted targets, in nats; of other objectives their own */
    int64_t counted_tokens;
    int64_t correct; /* targets that were the model's first choice */
    int64_t examples;
    int64_t correct_examples; /* whose every target was */
    size_t metric_count;
    loravk_metric metrics[LORAVK_MAX_METRICS];
} loravk_evaluation;

#define LORAVK_EVALUATION_INIT {sizeof(loravk_evaluation), 0, 0, 0, 0, 0, 0, {{NULL, 0}}}

loravk_status loravk_evaluation_init(loravk_evaluation *evaluation, size_t struct_size);

/* The loss on tokens and labels (B, T), as loravk_trainer_step reads them. `adapter` may be NULL. */
loravk_status loravk_model_evaluate(
    loravk_model *model, loravk_adapter *adapter, const int32_t *tokens, const int32_t *labels, size_t batch,
    size_t length, loravk_evaluation *evaluation);

/* The loss on sequences of different lengths, as loravk_trainer_step_ragged takes them. */
loravk_status loravk_model_evaluate_ragged(
    loravk_model *model, loravk_adapter *adapter, const int32_t *tokens, const int32_t *labels, const int32_t *lengths,
    size_t sequences, loravk_evaluation *evaluation);

/* losses (N): -log p(label) of each token of such sequences, in nats; 0 where none counts, as for the first of a sequence. `count`
 * is N. */
loravk_status loravk_model_token_losses(
    loravk_model *model, loravk_adapter *adapter, const int32_t *tokens, const int32_t *labels, const int32_t *lengths,
    size_t sequences, float *losses, size_t count);

/* The loss on a data file, in a folder on its valid.jsonl, or on rows in memory, by data.objective. */
loravk_status loravk_model_evaluate_data(
    loravk_model *model, loravk_adapter *adapter, const loravk_data_config *data, loravk_evaluation *evaluation);

/* How large an adapter's features are, by which Hayou, Ghosh & Yu 2024 compare initialisations: means over layers of the root
 * mean square, over tokens, of the Euclidean norms of z_A = A x and z_B = B A x (what stands in their place in other methods),
 * before scaling, with ranks that do not train left out of z_A. */
typedef struct loravk_feature_norms {
    size_t struct_size;
    double z_a;
    double z_b;
} loravk_feature_norms;

#define LORAVK_FEATURE_NORMS_INIT {sizeof(loravk_feature_norms), 0, 0}

loravk_status loravk_feature_norms_init(loravk_feature_norms *norms, size_t struct_size);

/* On tokens (B, T), of which fewer than 32 may be left out. LORAVK_ERROR_INVALID_ARGUMENT where none are left, as may be with fewer
 * than 32; LORAVK_ERROR_UNSUPPORTED where the adapter's method has no low-rank term. */
loravk_status loravk_model_feature_norms(
    loravk_model *model, loravk_adapter *adapter, const int32_t *tokens, size_t batch, size_t length,
    loravk_feature_norms *norms);

/* scores (S, K): what the adapter's head of K outputs says of each of S sequences at its last token, not normalised. Sequences lie
 * behind each other, as loravk_trainer_step_ragged takes them. `count` is S * K. */
loravk_status loravk_model_scores(
    loravk_model *model, loravk_adapter *adapter, const int32_t *tokens, const int32_t *lengths, size_t sequences,
    float *scores, size_t count);

/* The same as it is meant: probabilities of classes (their sum is 1) or of labels (each for itself), and numbers as they are. */
loravk_status loravk_model_classify(
    loravk_model *model, loravk_adapter *adapter, const int32_t *tokens, const int32_t *lengths, size_t sequences,
    float *probabilities, size_t count);

/* ======================================================================================================== Generation == */

/* A token, and the text that became complete with it (maybe ""), `length` bytes, NUL behind them, which lives for the call.
 * Text that is left at the end (half a character) comes with the token -1. Return false to stop after this token. On the
 * thread that generates. */
typedef bool (*loravk_token_callback)(void *user_data, int32_t token, const char *text, size_t length);

/* How likely a token was: the natural logarithm of its probability (before temperature, cuts and penalties), and the likeliest
 * tokens of its place in descending order with theirs, `top_count` of each, which live for the call. Comes before the token's
 * text, on the same thread. */
typedef void (*loravk_choice_callback)(
    void *user_data, int32_t token, double log_probability, const int32_t *top_tokens, const double *top_log_probabilities,
    size_t top_count);

typedef struct loravk_generation_config {
    size_t struct_size;
    int32_t max_tokens;
    int32_t top_k;      /* 0: all */
    double temperature; /* 0: always the most likely token */
    double top_p;
    double repetition_penalty; /* 1: none */
    uint64_t seed;
    const int32_t *stop_tokens; /* further tokens that end the answer; the model's own always do */
    size_t stop_token_count;
    loravk_token_callback on_token; /* may be NULL */
    void *user_data;
    const char *const *stop_strings; /* texts that end the answer wherever they come, across tokens too; they are not told, but
                                        their tokens are among `tokens` */
    size_t stop_string_count;
    int32_t top_log_probabilities; /* so many likeliest tokens for on_choice */
    uint8_t reserved[4];
    loravk_choice_callback on_choice; /* may be NULL */
} loravk_generation_config;

#define LORAVK_GENERATION_CONFIG_INIT                                                                                       \
    {sizeof(loravk_generation_config), 200, 0, 0.0, 1.0, 1.0, 0, NULL, 0, NULL, NULL, NULL, 0, 0, {0}, NULL}

loravk_status loravk_generation_config_init(loravk_generation_config *config, size_t struct_size);

/* Continues `prompt`. `tokens` gets the answer without the token that ended it, at most max_tokens, and `count` their number;
 * `tokens` may be NULL (capacity 0) where the callback is all that is wanted, else capacity is at least max_tokens. `adapter`
 * may be NULL. `config` may be NULL. */
loravk_status loravk_model_generate(
    loravk_model *model, loravk_adapter *adapter, const int32_t *prompt, size_t prompt_count,
    const loravk_generation_config *config, int32_t *tokens, size_t capacity, size_t *count);

/* A model that remembers: a cache of what it read and said, so that each call costs only what is new. Sessions of one model are
 * independent of each other. A session is for one call at a time: LORAVK_ERROR_BUSY in its own callbacks. */
typedef struct loravk_session loravk_session;

typedef struct loravk_session_info {
    size_t struct_size;
    int64_t tokens;         /* that were appended or answered */
    int64_t capacity;       /* the most that there can be */
    int64_t kept_tokens;    /* of the last prompt those that were in the cache already */
    int64_t prompt_tokens;  /* and those that were computed */
    int64_t answer_tokens;  /* of the last answer */
    double prompt_seconds;
    double answer_seconds;  /* of the answer's tokens but the first */
    char finish_reason[32]; /* of the last answer: "stop", "stop_string", "length" (max_tokens), "context" (capacity),
                               "interrupted" (on_token); "" before the first */
} loravk_session_info;

#define LORAVK_SESSION_INFO_INIT {sizeof(loravk_session_info), 0, 0, 0, 0, 0, 0.0, 0.0, {0}}

loravk_status loravk_session_info_init(loravk_session_info *info, size_t struct_size);

/* A session with room for `capacity` tokens, prompts and answers together; 0: 4096, or as many positions as the model has.
 * `adapter` may be NULL. */
loravk_status loravk_session_create(
    loravk_model *model, loravk_adapter *adapter, int64_t capacity, loravk_session **session);

/* Reads tokens behind what is there. `logits` (V) gets what may follow the last; it may be NULL (logit_count 0). */
loravk_status loravk_session_append(
    loravk_session *session, const int32_t *tokens, size_t count, float *logits, size_t logit_count);

/* Answers behind what is there; the answer becomes part of it. Output as loravk_model_generate. */
loravk_status loravk_session_generate(
    loravk_session *session, const loravk_generation_config *config, int32_t *tokens, size_t capacity, size_t *count);

/* Answers a whole conversation in the model's chat template: `messages` is JSON, a list of {"role", "content"} or an object with
 * `messages`, `tools` and what else the template reads. The session becomes that conversation; what it has in common with the
 * one before is not computed again, which is all but the new messages where one goes on. Output as loravk_model_generate. */
loravk_status loravk_session_chat(
    loravk_session *session, const char *messages, const loravk_generation_config *config, int32_t *tokens, size_t capacity,
    size_t *count);

/* Goes back to the first `count` tokens; 0: to none. */
loravk_status loravk_session_rewind(loravk_session *session, size_t count);

/* Goes on with another adapter, or NULL for none. The tokens stay, and are computed again with it. So they are after the
 * parameters of the session's adapter changed. */
loravk_status loravk_session_set_adapter(loravk_session *session, loravk_adapter *adapter);
loravk_status loravk_session_get_info(loravk_session *session, loravk_session_info *info);

/* The session's tokens. With `tokens` NULL (and capacity 0) only their number. */
loravk_status loravk_session_get_tokens(loravk_session *session, int32_t *tokens, size_t capacity, size_t *count);
void loravk_session_release(loravk_session *session);

/* ============================================================================================================ Export == */
/*
 * From files to files: an adapter's folder, as loravk_adapter_save writes it, and the model that it belongs to, a GGUF file or a
 * Hugging Face folder. No device is used. What is written is there whole or not at all.
 */

/* `done` of `total` tensors are written. Return false to give up: the call fails with LORAVK_ERROR_INVALID_STATE, and nothing
 * is written. */
typedef bool (*loravk_export_callback)(void *user_data, int64_t done, int64_t total);

typedef struct loravk_export_config {
    size_t struct_size;
    const char *type;        /* how matrices are stored, such as "f16" or "q8_0"; NULL: an adapter f32, merged weights as they were,
                                or where that loses the update in the smallest of Q8_0, F16 and F32 that keeps it */
    int64_t max_shard_bytes; /* the most that one file of a folder holds */
    bool overwrite;          /* replace a file that is there */
    uint8_t reserved[7];
    loravk_export_callback on_tensor; /* may be NULL */
    void *user_data;
} loravk_export_config;

#define LORAVK_EXPORT_CONFIG_INIT {sizeof(loravk_export_config), NULL, 5000000000, false, {0}, NULL, NULL}

loravk_status loravk_export_config_init(loravk_export_config *config, size_t struct_size);

/* The adapter as llama.cpp loads it, a GGUF file of f32, f16 or bf16. `config` may be NULL. */
loravk_status loravk_export_adapter(
    const char *model_path, const char *adapter_folder, const char *output, const loravk_export_config *config);

typedef struct loravk_merge_report {
    size_t struct_size;
    int64_t modules;
    double kept;           /* part of the adapter's update that came through rounding */
    double relative_error; /* rounding's change of the weights, as a part of the adapter's */
    char type[16];         /* that most merged weights have now: "Q8_0" */
} loravk_merge_report;

#define LORAVK_MERGE_REPORT_INIT {sizeof(loravk_merge_report), 0, 0, 0, {0}}

loravk_status loravk_merge_report_init(loravk_merge_report *report, size_t struct_size);

/* The model with the adapter folded in: a GGUF file from one, a folder from a folder. Rounding to a small type may lose the
 * update: look at `report`, which may be NULL. `config` may be NULL. */
loravk_status loravk_export_merged(
    const char *model_path, const char *adapter_folder, const char *output, const loravk_export_config *config,
    loravk_merge_report *report);

#ifdef __cplusplus
}
#endif

#endif
