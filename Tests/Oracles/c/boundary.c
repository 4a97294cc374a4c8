/* Times training steps from outside and, by their result, from inside; scripts/compare-bindings compares.
 * usage: boundary MODEL LENGTH STEPS */
#define _POSIX_C_SOURCE 200809L
#include "check.h"

#include <time.h>

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

int main(int argc, char **argv) {
    loravk_context *context = NULL;
    loravk_model *model = NULL;
    loravk_adapter *adapter = NULL;
    loravk_trainer *trainer = NULL;
    static int32_t tokens[4096];
    size_t length, i;
    int step, steps;
    if (argc != 4) return 2;
    length = (size_t)atoi(argv[2]);
    steps = atoi(argv[3]);
    if (length > sizeof tokens / sizeof tokens[0]) return 2;
    check(loravk_context_create(NULL, &context));
    check(loravk_model_load(context, argv[1], NULL, &model));
    check(loravk_adapter_create(model, NULL, &adapter));
    check(loravk_trainer_create(model, adapter, NULL, &trainer));
    for (i = 0; i < length; ++i) tokens[i] = (int32_t)(i * 7919 % 1000);
    for (step = 0; step < steps; ++step) {
        loravk_step_result result = LORAVK_STEP_RESULT_INIT;
        const double start = now();
        check(loravk_trainer_step(trainer, tokens, NULL, 1, length, &result));
        printf("%.9f %.9f\n", now() - start, result.seconds);
    }
    loravk_trainer_release(trainer);
    loravk_adapter_release(adapter);
    loravk_model_release(model);
    loravk_context_release(context);
    return 0;
}
