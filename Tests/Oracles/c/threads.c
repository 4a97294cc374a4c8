/* Two threads, with a context each or with one of both, get the losses that one gets alone. All that belongs to a context may be used
 * by both, and be released by one while the other uses it. usage: threads MODEL */
#include "session.h"

#include <pthread.h>
#include <string.h>

static const char *path;

static void *own_context(void *losses) {
    train_alone(path, losses);
    return NULL;
}

struct shared {
    loravk_model *model;
    double losses[STEPS];
};

static void *one_context(void *argument) {
    struct shared *shared = argument;
    train(shared->model, shared->losses);
    return NULL;
}

struct common {
    loravk_context *context;
    loravk_tensor *tensor;
    loravk_adapter *adapter;
    loravk_trainer *trainer;
};

static void *everything(void *argument) {
    const struct common *common = argument;
    const int64_t shape[2] = {8, 8};
    const int32_t tokens[4] = {5, 6, 7, 8};
    static const float ones[64] = {1};
    float values[64];
    int round;
    for (round = 0; round < 8; ++round) {
        loravk_tensor *own = NULL;
        int64_t held = 0;
        check(loravk_tensor_create(common->context, LORAVK_F32, shape, 2, &own));
        check(loravk_tensor_upload(own, ones, sizeof ones));
        check(loravk_add(common->tensor, common->tensor, own, 1));
        check(loravk_tensor_download(common->tensor, values, sizeof values));
        check(loravk_trainer_step(common->trainer, tokens, NULL, 1, 4, NULL));
        check(loravk_adapter_read_gradient(common->adapter, 1, values, 64));
        check(loravk_context_get_held_bytes(common->context, &held));
        loravk_tensor_release(own);
    }
    return NULL;
}

static void *using_it(void *tensor) {
    loravk_status status;
    while ((status = loravk_zero(tensor)) == LORAVK_OK) {}
    if (status != LORAVK_ERROR_INVALID_HANDLE) exit(1);
    return NULL;
}

static void share_everything(loravk_context *context, loravk_model *model) {
    const int64_t shape[2] = {8, 8};
    struct common common = {NULL, NULL, NULL, NULL};
    loravk_adapter_config config = LORAVK_ADAPTER_CONFIG_INIT;
    static const char *const targets[1] = {"layers.0.self_attn.k_proj"};
    pthread_t threads[2];
    int64_t steps = 0;
    int i;
    common.context = context;
    config.rank = 1;
    config.target_modules = targets;
    config.target_module_count = 1;
    check(loravk_tensor_create(context, LORAVK_F32, shape, 2, &common.tensor));
    check(loravk_adapter_create(model, &config, &common.adapter));
    check(loravk_trainer_create(model, common.adapter, NULL, &common.trainer));
    for (i = 0; i < 2; ++i) pthread_create(&threads[i], NULL, everything, &common);
    for (i = 0; i < 2; ++i) pthread_join(threads[i], NULL);
    check(loravk_trainer_step_count(common.trainer, &steps));
    if (steps != 16) exit(1);

    pthread_create(&threads[0], NULL, using_it, common.tensor);
    check(loravk_trainer_apply(common.trainer, NULL));
    loravk_tensor_release(common.tensor);
    pthread_join(threads[0], NULL);
    loravk_trainer_release(common.trainer);
    loravk_adapter_release(common.adapter);
}

/* An error of a thread is that thread's own. */
static void *failing(void *status) {
    *(loravk_status *)status = loravk_zero(NULL);
    if (loravk_last_error()[0] == 0) exit(1);
    return NULL;
}

int main(int argc, char **argv) {
    double alone[STEPS], losses[2][STEPS];
    struct shared shared[2];
    pthread_t threads[2];
    loravk_context *context = NULL;
    loravk_status status = LORAVK_OK;
    int i;
    if (argc != 2) return 2;
    path = argv[1];
    train_alone(path, alone);

    for (i = 0; i < 2; ++i) pthread_create(&threads[i], NULL, own_context, losses[i]);
    for (i = 0; i < 2; ++i) pthread_join(threads[i], NULL);
    for (i = 0; i < 2; ++i) {
        if (memcmp(alone, losses[i], sizeof alone) != 0) return puts("other losses with a context each"), 1;
    }

    check(loravk_context_create(NULL, &context));
    check(loravk_model_load(context, path, NULL, &shared[0].model));
    shared[1].model = shared[0].model;
    for (i = 0; i < 2; ++i) pthread_create(&threads[i], NULL, one_context, &shared[i]);
    for (i = 0; i < 2; ++i) pthread_join(threads[i], NULL);
    for (i = 0; i < 2; ++i) {
        if (memcmp(alone, shared[i].losses, sizeof alone) != 0) return puts("other losses with one context"), 1;
    }

    share_everything(context, shared[0].model);

    pthread_create(&threads[0], NULL, failing, &status);
    pthread_join(threads[0], NULL);
    if (status != LORAVK_ERROR_INVALID_HANDLE || loravk_last_error()[0] != 0) return puts("an error crossed threads"), 1;
    loravk_model_release(shared[0].model);
    loravk_context_release(context);
    puts("the same losses");
    return 0;
}
