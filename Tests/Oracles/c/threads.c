/* Two threads, with a context each or with one of both, get the losses that one gets alone. usage: threads MODEL */
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

    pthread_create(&threads[0], NULL, failing, &status);
    pthread_join(threads[0], NULL);
    if (status != LORAVK_ERROR_INVALID_HANDLE || loravk_last_error()[0] != 0) return puts("an error crossed threads"), 1;
    loravk_model_release(shared[0].model);
    loravk_context_release(context);
    puts("the same losses");
    return 0;
}
