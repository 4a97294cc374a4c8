/* Times training steps on one sequence of int32 ids in a file: seconds outside the call, inside by its result, and of processor
 * time; scripts/compare-bindings compares. usage: boundary MODEL TOKENS STEPS */
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
    FILE *file;
    size_t length;
    int step, steps;
    if (argc != 4) return 2;
    steps = atoi(argv[3]);
    file = fopen(argv[2], "rb");
    if (!file) return perror(argv[2]), 1;
    length = fread(tokens, sizeof tokens[0], sizeof tokens / sizeof tokens[0], file);
    fclose(file);
    check(loravk_context_create(NULL, &context));
    check(loravk_model_load(context, argv[1], NULL, &model));
    check(loravk_adapter_create(model, NULL, &adapter));
    check(loravk_trainer_create(model, adapter, NULL, &trainer));
    for (step = 0; step < steps; ++step) {
        loravk_step_result result = LORAVK_STEP_RESULT_INIT;
        const double start = now();
        const clock_t processor = clock();
        double seconds;
        check(loravk_trainer_step(trainer, tokens, NULL, 1, length, &result));
        seconds = now() - start;
        printf("%.9f %.9f %.6f\n", seconds, result.seconds, (double)(clock() - processor) / CLOCKS_PER_SEC);
    }
    loravk_trainer_release(trainer);
    loravk_adapter_release(adapter);
    loravk_model_release(model);
    loravk_context_release(context);
    return 0;
}
