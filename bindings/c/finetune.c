/*
 * Finetunes a model on a data file, saves the adapter, and lets the model answer. Ctrl-C ends the training after its step;
 * the adapter is saved all the same.
 * usage: finetune MODEL DATA.jsonl OUT [STEPS [PROMPT]]
 */
#include <loravk.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ANSWER = 48 };

static loravk_trainer *running;

static void stop(int signal_number) {
    (void)signal_number;
    loravk_trainer_request_stop(running);
}

static void check(loravk_status status) {
    if (status == LORAVK_OK) return;
    fprintf(stderr, "%s: %s\n", loravk_status_name(status), loravk_last_error());
    exit(1);
}

static bool show_progress(void *user_data, const loravk_progress *progress) {
    (void)user_data;
    printf("step %lld/%lld  loss %.4f  %.0f tokens/s\n", (long long)progress->step, (long long)progress->steps,
        progress->loss, progress->tokens_per_second);
    return true;
}

static bool show_token(void *user_data, int32_t token, const char *text, size_t length) {
    (void)user_data;
    (void)token;
    fwrite(text, 1, length, stdout);
    fflush(stdout);
    return true;
}

/* The prompt in the model's chat template, or as it is where there is none, as token ids. */
static int32_t *encode(loravk_tokenizer *tokenizer, const char *prompt, size_t *count) {
    static const char *const roles[1] = {"user"};
    char *chat = NULL;
    size_t length = strlen(prompt);
    int32_t *tokens;
    if (loravk_tokenizer_apply_chat_template(tokenizer, roles, &prompt, 1, true, NULL, 0, &length) == LORAVK_OK) {
        chat = malloc(length + 1);
        if (!chat) exit(1);
        check(loravk_tokenizer_apply_chat_template(tokenizer, roles, &prompt, 1, true, chat, length + 1, &length));
    }
    check(loravk_tokenizer_encode(tokenizer, chat ? chat : prompt, length, !chat, NULL, 0, count));
    tokens = malloc((*count ? *count : 1) * sizeof *tokens);
    if (!tokens) exit(1);
    check(loravk_tokenizer_encode(tokenizer, chat ? chat : prompt, length, !chat, tokens, *count, count));
    free(chat);
    return tokens;
}

int main(int argc, char **argv) {
    loravk_context *context = NULL;
    loravk_model *model = NULL;
    loravk_tokenizer *tokenizer = NULL;
    loravk_adapter *adapter = NULL;
    loravk_trainer *trainer = NULL;
    loravk_trainer_config training = LORAVK_TRAINER_CONFIG_INIT;
    loravk_data_config data = LORAVK_DATA_CONFIG_INIT;
    loravk_run_config run = LORAVK_RUN_CONFIG_INIT;
    loravk_run_result result = LORAVK_RUN_RESULT_INIT;
    loravk_generation_config generation = LORAVK_GENERATION_CONFIG_INIT;
    int32_t *prompt;
    size_t prompt_count = 0;

    if (argc < 4 || argc > 6) {
        fprintf(stderr, "usage: finetune MODEL DATA.jsonl OUT [STEPS [PROMPT]]\n");
        return 2;
    }
    check(loravk_context_create(NULL, &context));
    check(loravk_model_load(context, argv[1], NULL, &model));
    check(loravk_model_get_tokenizer(model, &tokenizer));
    check(loravk_adapter_create(model, NULL, &adapter));
    training.learning_rate = 1e-3;
    training.max_grad_norm = 1;
    check(loravk_trainer_create(model, adapter, &training, &trainer));

    data.path = argv[2];
    run.data = &data;
    run.output = argv[3];
    run.overwrite = true;
    run.batch_size = 4;
    run.steps = argc > 4 ? atoi(argv[4]) : 60;
    run.on_progress = show_progress;
    running = trainer;
    signal(SIGINT, stop);
    check(loravk_trainer_run(trainer, &run, &result));
    signal(SIGINT, SIG_DFL);
    printf("%s after %lld steps; the adapter is in %s\n", result.stopped ? "stopped" : "finished", (long long)result.steps,
        argv[3]);

    prompt = encode(tokenizer, argc > 5 ? argv[5] : "What is snow?", &prompt_count);
    generation.max_tokens = ANSWER;
    generation.on_token = show_token;
    check(loravk_model_generate(model, adapter, prompt, prompt_count, &generation, NULL, 0, NULL));
    printf("\n");

    free(prompt);
    loravk_trainer_release(trainer);
    loravk_adapter_release(adapter);
    loravk_tokenizer_release(tokenizer);
    loravk_model_release(model);
    loravk_context_release(context);
    return 0;
}
