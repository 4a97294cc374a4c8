/* A training session on a model, whose losses are compared. */
#ifndef SESSION_H
#define SESSION_H

#include "check.h"

enum { STEPS = 4, BATCH = 2, LENGTH = 24 };

/* Losses of STEPS steps of a new adapter. */
static void train(loravk_model *model, double *losses) {
    loravk_adapter_config config = LORAVK_ADAPTER_CONFIG_INIT;
    loravk_adapter *adapter = NULL;
    loravk_trainer *trainer = NULL;
    int32_t tokens[BATCH * LENGTH];
    int step, i;
    check(loravk_adapter_create(model, &config, &adapter));
    check(loravk_trainer_create(model, adapter, NULL, &trainer));
    for (step = 0; step < STEPS; ++step) {
        loravk_step_result result = LORAVK_STEP_RESULT_INIT;
        for (i = 0; i < BATCH * LENGTH; ++i) tokens[i] = (step * 31 + i * 7) % 200;
        check(loravk_trainer_step(trainer, tokens, NULL, BATCH, LENGTH, &result));
        losses[step] = result.loss;
    }
    loravk_trainer_release(trainer);
    loravk_adapter_release(adapter);
}

static void train_alone(const char *path, double *losses) {
    loravk_context *context = NULL;
    loravk_model *model = NULL;
    check(loravk_context_create(NULL, &context));
    check(loravk_model_load(context, path, NULL, &model));
    train(model, losses);
    loravk_model_release(model);
    loravk_context_release(context);
}

#endif
