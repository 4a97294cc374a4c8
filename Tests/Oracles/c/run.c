/* A run with the library's defaults. usage: run MODEL DATA OUT RANK */
#include "check.h"

int main(int argc, char **argv) {
    loravk_context *context = NULL;
    loravk_model *model = NULL;
    loravk_adapter *adapter = NULL;
    loravk_trainer *trainer = NULL;
    loravk_adapter_config config;
    loravk_data_config data;
    loravk_run_config run;
    if (argc != 5) return 2;
    check(loravk_adapter_config_init(&config, sizeof config));
    check(loravk_data_config_init(&data, sizeof data));
    check(loravk_run_config_init(&run, sizeof run));
    config.rank = atoi(argv[4]);
    data.path = argv[2];
    run.data = &data;
    run.output = argv[3];
    check(loravk_context_create(NULL, &context));
    check(loravk_model_load(context, argv[1], NULL, &model));
    check(loravk_adapter_create(model, &config, &adapter));
    check(loravk_trainer_create(model, adapter, NULL, &trainer));
    check(loravk_trainer_run(trainer, &run, NULL));
    loravk_trainer_release(trainer);
    loravk_adapter_release(adapter);
    loravk_model_release(model);
    loravk_context_release(context);
    return 0;
}
