/* What programs that embed the library need: ragged batches, rows in memory, losses of tokens, versions and features.
 * usage: embed MODEL DATA.jsonl UNKNOWN-MODEL */
#include "check.h"

#include <math.h>
#include <string.h>

enum { ROWS = 3, LENGTH = 11, N = 7 + 11 + 2 };

static const int32_t lengths[ROWS] = {7, 11, 2};

static void require(bool condition, const char *what) {
    if (condition) return;
    fprintf(stderr, "%s: %s\n", what, loravk_last_error());
    exit(1);
}

static bool near(double a, double b) { return fabs(a - b) <= 1e-5 * (fabs(a) + fabs(b)); }

static bool note(void *user, const loravk_progress *progress) {
    *(double *)user = progress->loss;
    return true;
}

/* One step of a new adapter; its loss and gradient norm. */
static loravk_step_result step(loravk_model *model, const int32_t *tokens, const int32_t *labels, bool ragged) {
    loravk_adapter *adapter = NULL;
    loravk_trainer *trainer = NULL;
    loravk_step_result result = LORAVK_STEP_RESULT_INIT, whole = LORAVK_STEP_RESULT_INIT;
    double norm = 0;
    check(loravk_adapter_create(model, NULL, &adapter));
    check(loravk_trainer_create(model, adapter, NULL, &trainer));
    if (ragged) {
        check(loravk_trainer_forward_backward_ragged(trainer, tokens, labels, lengths, ROWS, 0, &result));
        check(loravk_trainer_apply(trainer, &norm));
        check(loravk_trainer_step_ragged(trainer, tokens, labels, lengths, ROWS, &whole));
    } else {
        check(loravk_trainer_forward_backward(trainer, tokens, labels, ROWS, LENGTH, 0, &result));
        check(loravk_trainer_apply(trainer, &norm));
        check(loravk_trainer_step(trainer, tokens, labels, ROWS, LENGTH, &whole));
    }
    result.grad_norm = norm;
    result.seconds = whole.loss;
    loravk_trainer_release(trainer);
    loravk_adapter_release(adapter);
    return result;
}

static void ragged_batches(loravk_model *model) {
    int32_t tokens[N], padded[ROWS * LENGTH] = {0}, labels[ROWS * LENGTH];
    loravk_model_info info = LORAVK_MODEL_INFO_INIT;
    loravk_evaluation flat = LORAVK_EVALUATION_INIT, square = LORAVK_EVALUATION_INIT;
    loravk_step_result a, b;
    float losses[N], *few, *many;
    double sum = 0;
    int row, i, at = 0;
    size_t n, v;
    for (i = 0; i < ROWS * LENGTH; ++i) labels[i] = -100;
    for (row = 0; row < ROWS; ++row)
        for (i = 0; i < lengths[row]; ++i, ++at)
            tokens[at] = padded[row * LENGTH + i] = labels[row * LENGTH + i] = (at * 37 + 11) % 200;
    check(loravk_model_evaluate_ragged(model, NULL, tokens, NULL, lengths, ROWS, &flat));
    check(loravk_model_evaluate(model, NULL, padded, labels, ROWS, LENGTH, &square));
    require(flat.counted_tokens == N - ROWS && near(flat.loss, square.loss), "the loss of ragged rows");
    require(flat.examples == ROWS && flat.correct == square.correct, "what ragged rows count");

    check(loravk_model_token_losses(model, NULL, tokens, NULL, lengths, ROWS, losses, N));
    for (i = 0; i < N; ++i) sum += losses[i];
    require(near(sum / (N - ROWS), flat.loss), "the mean of the losses of tokens");
    require(losses[0] == 0 && losses[7] == 0 && losses[18] == 0 && losses[1] > 0, "the first token of a row");

    check(loravk_model_get_info(model, &info));
    v = (size_t)info.vocab_size;
    few = (float *)malloc(N * v * sizeof(float));
    many = (float *)malloc(ROWS * LENGTH * v * sizeof(float));
    if (!few || !many) exit(1);
    check(loravk_model_logits_ragged(model, NULL, tokens, lengths, ROWS, few, N * v));
    check(loravk_model_logits(model, NULL, padded, ROWS, LENGTH, many, ROWS * LENGTH * v));
    for (n = 0; n < 11 * v; ++n) require(fabs(few[7 * v + n] - many[11 * v + n]) < 1e-3, "the logits of ragged rows");
    free(few);
    free(many);

    a = step(model, tokens, NULL, true);
    b = step(model, padded, labels, false);
    require(a.tokens == N && b.tokens == ROWS * LENGTH && a.counted_tokens == b.counted_tokens, "tokens of a ragged step");
    require(near(a.loss, b.loss) && near(a.grad_norm, b.grad_norm), "a ragged step");
    require(fabs(a.seconds - b.seconds) < 1e-3 * b.seconds && a.seconds < a.loss, "the step behind it");

    require(
        loravk_model_evaluate_ragged(model, NULL, tokens, NULL, lengths, 0, &flat) == LORAVK_ERROR_INVALID_ARGUMENT,
        "no rows");
    tokens[0] = 0;
    require(
        loravk_model_evaluate_ragged(model, NULL, padded, NULL, tokens, 1, &flat) == LORAVK_ERROR_INVALID_ARGUMENT
            && strstr(loravk_last_error(), "lengths[0] is 0"),
        "an empty row");
}

static void rows_in_memory(loravk_model *model, const char *path) {
    static char text[64][4096];
    const char *rows[64];
    loravk_data_config file = LORAVK_DATA_CONFIG_INIT, memory = LORAVK_DATA_CONFIG_INIT, held_out = LORAVK_DATA_CONFIG_INIT;
    loravk_evaluation a = LORAVK_EVALUATION_INIT, b = LORAVK_EVALUATION_INIT;
    double losses[2] = {0, 0};
    size_t count = 0;
    int i;
    FILE *lines = fopen(path, "r");
    if (!lines) exit(1);
    while (count < 64 && fgets(text[count], sizeof text[count], lines)) {
        rows[count] = text[count];
        ++count;
    }
    fclose(lines);
    file.path = path;
    memory.rows = rows;
    memory.row_count = count;
    check(loravk_model_evaluate_data(model, NULL, &file, &a));
    check(loravk_model_evaluate_data(model, NULL, &memory, &b));
    require(a.loss == b.loss && a.counted_tokens == b.counted_tokens, "the loss of rows in memory");
    held_out = memory;
    held_out.row_count = 3;
    for (i = 0; i < 2; ++i) {
        loravk_adapter *adapter = NULL;
        loravk_trainer *trainer = NULL;
        loravk_adapter_config config = LORAVK_ADAPTER_CONFIG_INIT;
        loravk_run_config run = LORAVK_RUN_CONFIG_INIT;
        loravk_run_result result = LORAVK_RUN_RESULT_INIT;
        config.init = "eva:samples=4";
        config.data = i == 0 ? &file : &memory;
        check(loravk_adapter_create(model, &config, &adapter));
        check(loravk_trainer_create(model, adapter, NULL, &trainer));
        run.data = i == 0 ? &file : &memory;
        run.validation = i == 0 ? NULL : &held_out;
        run.steps = 2;
        run.batch_size = 2;
        run.on_progress = note;
        run.user_data = &losses[i];
        check(loravk_trainer_run(trainer, &run, &result));
        require(i == 0 ? isnan(result.validation_loss) : result.validation_loss > 0, "the validation loss");
        loravk_trainer_release(trainer);
        loravk_adapter_release(adapter);
    }
    require(losses[0] == losses[1] && losses[0] > 0, "a run on rows in memory");
    rows[1] = "{\"txt\": 1}";
    require(
        loravk_model_evaluate_data(model, NULL, &memory, &b) == LORAVK_ERROR_INVALID_ARGUMENT
            && strstr(loravk_last_error(), "data.rows[1]"),
        "a bad row");
    memory.path = path;
    require(
        loravk_model_evaluate_data(model, NULL, &memory, &b) == LORAVK_ERROR_INVALID_ARGUMENT
            && strstr(loravk_last_error(), "a path and rows"),
        "two sources");
}

int main(int argc, char **argv) {
    loravk_context *context = NULL;
    loravk_model *model = NULL, *none = NULL;
    loravk_error_detail detail = LORAVK_ERROR_DETAIL_INIT;
    size_t i;
    if (argc != 4) return 2;
    require(loravk_version_number() == LORAVK_VERSION_NUMBER && LORAVK_VERSION_NUMBER >= 1000, "the version");
    for (i = 0; loravk_feature_name(i); ++i) require(loravk_has_feature(loravk_feature_name(i)), "a feature");
    require(i >= 4 && !loravk_has_feature("") && !loravk_has_feature(NULL), "the features");
    check(loravk_context_create(NULL, &context));
    require(
        loravk_model_load(context, argv[3], NULL, &none) == LORAVK_ERROR_UNSUPPORTED
            && strstr(loravk_last_error(), "llama, "),
        "an unknown architecture");
    require(loravk_model_load(context, "no/such.gguf", NULL, &none) == LORAVK_ERROR_FILE, "no file");
    check(loravk_last_error_detail(&detail));
    require(detail.system_errno == 2, "the reason of a missing file");
    check(loravk_model_load(context, argv[1], NULL, &model));
    ragged_batches(model);
    rows_in_memory(model, argv[2]);
    loravk_model_release(model);
    loravk_context_release(context);
    puts("embedded");
    return 0;
}
