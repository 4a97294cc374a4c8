/* Handles released in every order, twice, and as the wrong kind; growth over many; a run stopped by a signal; a fork.
 * usage: lifetimes MODEL DATA.jsonl [all]: with `all` models too are released in every order, which takes minutes */
#define _POSIX_C_SOURCE 200809L
#include "check.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

enum { KINDS = 5 };

static loravk_trainer *running;

static void stop(int number) {
    (void)number;
    loravk_trainer_request_stop(running);
}

/* The order that number `n` of the factorial stands for. */
static void permutation(int n, int *order) {
    int left[KINDS], i, j, count;
    for (i = 0; i < KINDS; ++i) left[i] = i;
    for (i = 0, count = KINDS; i < KINDS; ++i, --count) {
        const int pick = n % count;
        n /= count;
        order[i] = left[pick];
        for (j = pick; j < count - 1; ++j) left[j] = left[j + 1];
    }
}

static void every_order_of_tensors(void) {
    const int64_t shape[2] = {4, 4};
    int n, i, order[KINDS];
    for (n = 0; n < 120; ++n) {
        loravk_context *context = NULL;
        loravk_tensor *x = NULL, *y = NULL;
        loravk_graph *graph = NULL;
        loravk_optimizer *optimizer = NULL;
        check(loravk_context_create(NULL, &context));
        check(loravk_tensor_create(context, LORAVK_F32, shape, 2, &x));
        check(loravk_tensor_create(context, LORAVK_F32, shape, 2, &y));
        check(loravk_graph_begin(context));
        check(loravk_scale(y, x, 2));
        check(loravk_graph_end(context, &graph));
        check(loravk_optimizer_create(NULL, &x, &y, 1, &optimizer));
        permutation(n, order);
        for (i = 0; i < KINDS; ++i) {
            if (i == 3 && order[4] == 3) check(loravk_graph_run(graph));
            if (i == 3 && order[4] == 4) check(loravk_optimizer_step(optimizer, 0.1, NULL));
            switch (order[i]) {
            case 0: loravk_context_release(context); break;
            case 1: loravk_tensor_release(x); break;
            case 2: loravk_tensor_release(y); break;
            case 3: loravk_graph_release(graph); break;
            default: loravk_optimizer_release(optimizer); break;
            }
        }
        /* Once more, and as what they are not. */
        loravk_tensor_release(x);
        loravk_context_release((loravk_context *)y);
        if (loravk_zero(x) != LORAVK_ERROR_INVALID_HANDLE) exit(1);
    }
}

static void orders_of_models(const char *path, int distance) {
    int n, i, order[KINDS];
    for (n = 0; n < 120; n += distance) {
        loravk_context *context = NULL;
        loravk_model *model = NULL;
        loravk_tokenizer *tokenizer = NULL;
        loravk_adapter *adapter = NULL;
        loravk_trainer *trainer = NULL;
        const int32_t tokens[4] = {1, 2, 3, 4};
        check(loravk_context_create(NULL, &context));
        check(loravk_model_load(context, path, NULL, &model));
        check(loravk_model_get_tokenizer(model, &tokenizer));
        check(loravk_adapter_create(model, NULL, &adapter));
        check(loravk_trainer_create(model, adapter, NULL, &trainer));
        permutation(n, order);
        for (i = 0; i < KINDS; ++i) {
            if (i == 4 && order[4] == 4) check(loravk_trainer_step(trainer, tokens, NULL, 1, 4, NULL));
            switch (order[i]) {
            case 0: loravk_context_release(context); break;
            case 1: loravk_model_release(model); break;
            case 2: loravk_tokenizer_release(tokenizer); break;
            case 3: loravk_adapter_release(adapter); break;
            default: loravk_trainer_release(trainer); break;
            }
        }
    }
}

static void no_growth(void) {
    const int64_t shape[1] = {1000};
    loravk_context *context = NULL;
    int64_t before = 0, after = 0;
    int i;
    check(loravk_context_create(NULL, &context));
    for (i = 0; i < 10000; ++i) {
        loravk_tensor *tensor = NULL;
        check(loravk_tensor_create(context, LORAVK_F32, shape, 1, &tensor));
        if (i == 0) check(loravk_context_get_held_bytes(context, &before));
        loravk_tensor_release(tensor);
    }
    check(loravk_context_get_held_bytes(context, &after));
    if (after > before) exit(1);
    loravk_context_release(context);
}

static void stopped_by_a_signal(const char *path, const char *data_path) {
    loravk_context *context = NULL;
    loravk_model *model = NULL;
    loravk_adapter *adapter = NULL;
    loravk_data_config data = LORAVK_DATA_CONFIG_INIT;
    loravk_run_config run = LORAVK_RUN_CONFIG_INIT;
    loravk_run_result result = LORAVK_RUN_RESULT_INIT;
    check(loravk_context_create(NULL, &context));
    check(loravk_model_load(context, path, NULL, &model));
    check(loravk_adapter_create(model, NULL, &adapter));
    check(loravk_trainer_create(model, adapter, NULL, &running));
    data.path = data_path;
    run.data = &data;
    run.steps = 1000000;
    signal(SIGALRM, stop);
    alarm(1);
    check(loravk_trainer_run(running, &run, &result));
    if (!result.stopped || result.steps < 1) exit(1);
    loravk_trainer_release(running);
    /* What is gone does nothing. */
    stop(0);
    loravk_adapter_release(adapter);
    loravk_model_release(model);
    loravk_context_release(context);
}

static void refused_after_fork(void) {
    int status = 0;
    const pid_t child = fork();
    if (child == 0) {
        size_t count = 77;
        _exit(loravk_device_count(&count) == LORAVK_ERROR_FORKED && count == 77 && loravk_last_error()[0] ? 0 : 1);
    }
    if (waitpid(child, &status, 0) != child || status != 0) exit(1);
}

int main(int argc, char **argv) {
    if (argc != 3 && argc != 4) return 2;
    every_order_of_tensors();
    orders_of_models(argv[1], argc == 4 ? 1 : 17);
    no_growth();
    stopped_by_a_signal(argv[1], argv[2]);
    refused_after_fork();
    puts("every order, no growth");
    return 0;
}
