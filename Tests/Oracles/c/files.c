/* A run that is stopped and goes on, states of a loop, what is in files, evaluation, features, and measuring that is given up.
 * usage: files MODEL DATA.jsonl FOLDER */
#include "check.h"

#include <stdio.h>
#include <string.h>

static bool stop_at_2(void *user, const loravk_progress *progress) {
    *(double *)user = progress->loss;
    return progress->step != 2;
}

static bool note(void *user, const loravk_progress *progress) {
    *(double *)user = progress->loss;
    return true;
}

static void count(void *user, const char *name, const char *type, const int64_t *shape, size_t dimensions) {
    int64_t size = 1;
    size_t i;
    if (strlen(name) == 0 || strlen(type) == 0) exit(1);
    for (i = 0; i < dimensions; ++i) size *= shape[i];
    *(int64_t *)user += size;
}

static bool as_far_as(void *user, int64_t done, int64_t total) { return done <= total && ++*(int *)user < 3; }

static bool give_up(void *user, const loravk_tune_finding *finding) {
    *(double *)user = finding->best_flops_per_second;
    return false;
}

static void require(bool condition, const char *what) {
    if (condition) return;
    fprintf(stderr, "%s: %s\n", what, loravk_last_error());
    exit(1);
}

int main(int argc, char **argv) {
    loravk_context *context = NULL;
    loravk_model *model = NULL;
    loravk_model_info model_info = LORAVK_MODEL_INFO_INIT;
    loravk_adapter_info adapter_info = LORAVK_ADAPTER_INFO_INIT;
    loravk_data_config data = LORAVK_DATA_CONFIG_INIT;
    loravk_tune_config tune = LORAVK_TUNE_CONFIG_INIT;
    loravk_evaluation evaluation = LORAVK_EVALUATION_INIT;
    char folder[4096], state[4096];
    double losses[3] = {0, 0, 0}, rate = 0;
    int32_t tokens[32] = {0};
    const int32_t rows = 16;
    int64_t numbers = 0;
    int i, calls = 0;
    if (argc != 4) return 2;
    check(loravk_context_create(NULL, &context));
    check(loravk_model_load(context, argv[1], NULL, &model));
    data.path = argv[2];
    data.max_tokens = 32;
    /* Whole; stopped after the second step; and going on from there. */
    for (i = 0; i < 3; ++i) {
        loravk_adapter *adapter = NULL;
        loravk_trainer *trainer = NULL;
        loravk_run_config run = LORAVK_RUN_CONFIG_INIT;
        loravk_run_result result = LORAVK_RUN_RESULT_INIT;
        loravk_feature_norms norms = LORAVK_FEATURE_NORMS_INIT;
        check(loravk_adapter_create(model, NULL, &adapter));
        check(loravk_trainer_create(model, adapter, NULL, &trainer));
        sprintf(folder, "%.4000s/%s", argv[3], i == 0 ? "whole" : "parts");
        run.data = &data;
        run.output = folder;
        run.steps = 4;
        run.batch_size = 2;
        run.resume = i == 2;
        run.on_progress = i == 1 ? stop_at_2 : note;
        run.user_data = &losses[i];
        check(loravk_trainer_run(trainer, &run, &result));
        require(result.steps == (i == 1 ? 2 : 4) && result.stopped == (i == 1), "the run's length");
        check(loravk_model_feature_norms(model, adapter, tokens, 1, 32, &norms));
        require(norms.z_a > 0 && norms.z_b > 0, "the features");
        sprintf(state, "%.4000s/state", argv[3]);
        check(loravk_trainer_save_state(trainer, state));
        check(loravk_trainer_load_state(trainer, state));
        require(loravk_trainer_load_state(trainer, argv[2]) == LORAVK_ERROR_FILE, "a state that is none");
        loravk_adapter_release(adapter);
        loravk_trainer_release(trainer);
    }
    require(losses[0] == losses[2] && losses[1] != losses[0], "the losses of a run that went on");
    check(loravk_model_inspect(argv[1], count, &numbers, &model_info));
    require(numbers > 0 && numbers == model_info.parameters, "the numbers of the model");
    numbers = 0;
    check(loravk_adapter_inspect(folder, count, &numbers, &adapter_info));
    require(numbers > 0 && numbers == adapter_info.parameters, "the numbers of the adapter");
    data.on_progress = as_far_as;
    data.user_data = &calls;
    calls = 2;
    require(
        loravk_model_evaluate_data(model, NULL, &data, &evaluation) == LORAVK_ERROR_INVALID_STATE, "an evaluation given up");
    tune.tokens = &rows;
    tune.token_count = 1;
    tune.on_finding = give_up;
    tune.user_data = &rate;
    require(loravk_context_tune(context, argv[1], &tune) == LORAVK_ERROR_INVALID_STATE && rate > 0, "measuring given up");
    loravk_model_release(model);
    loravk_context_release(context);
    puts("the same losses");
    return 0;
}
