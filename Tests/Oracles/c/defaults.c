/* loravk_..._init gives what the _INIT macros give, for every struct, also to older and newer callers. */
#include "check.h"

#include <string.h>

#define SAME(name, macro)                                                                               \
    do {                                                                                                \
        static const loravk_##name wanted = LORAVK_##macro##_INIT;                                      \
        struct {                                                                                        \
            loravk_##name value;                                                                        \
            char behind[24];                                                                            \
        } room;                                                                                         \
        memset(&room, 0x5A, sizeof room);                                                               \
        check(loravk_##name##_init(&room.value, sizeof room.value));                                    \
        same(#name, &room.value, &wanted, sizeof wanted, room.behind, 0x5A);                            \
        /* A newer caller has more fields, which are 0 until it sets them. */                           \
        check(loravk_##name##_init(&room.value, sizeof room));                                          \
        if (room.value.struct_size != sizeof room) fail(#name, "the size of a newer caller");           \
        room.value.struct_size = sizeof room.value;                                                     \
        same(#name, &room.value, &wanted, sizeof wanted, room.behind, 0);                               \
        refuse(#name, loravk_##name##_init(&room.value, 4), "struct_size is 4");                        \
        refuse(#name, loravk_##name##_init(NULL, sizeof room.value), "is NULL");                        \
        ++structs;                                                                                      \
    } while (0)

static void fail(const char *name, const char *what) {
    fprintf(stderr, "%s: %s; last error: %s\n", name, what, loravk_last_error());
    exit(1);
}

static void same(
    const char *name, const void *value, const void *wanted, size_t size, const char *behind, char filled) {
    size_t i;
    if (memcmp(value, wanted, size) != 0) fail(name, "is not what its macro says");
    for (i = 0; i < 24; ++i)
        if (behind[i] != filled) fail(name, "what lies behind it was not left as it should be");
}

static void refuse(const char *name, loravk_status status, const char *text) {
    if (status != LORAVK_ERROR_INVALID_ARGUMENT || !strstr(loravk_last_error(), text)) fail(name, "was not refused");
}

int main(void) {
    int structs = 0;
    SAME(error_detail, ERROR_DETAIL);
    SAME(device_info, DEVICE_INFO);
    SAME(context_config, CONTEXT_CONFIG);
    SAME(tensor_info, TENSOR_INFO);
    SAME(attention_config, ATTENTION_CONFIG);
    SAME(optimizer_config, OPTIMIZER_CONFIG);
    SAME(model_config, MODEL_CONFIG);
    SAME(model_info, MODEL_INFO);
    SAME(data_config, DATA_CONFIG);
    SAME(adapter_config, ADAPTER_CONFIG);
    SAME(adapter_info, ADAPTER_INFO);
    SAME(parameter_info, PARAMETER_INFO);
    SAME(trainer_config, TRAINER_CONFIG);
    SAME(step_result, STEP_RESULT);
    SAME(run_config, RUN_CONFIG);
    SAME(run_result, RUN_RESULT);
    SAME(session_info, SESSION_INFO);
    SAME(plan_config, PLAN_CONFIG);
    SAME(memory_plan, MEMORY_PLAN);
    SAME(tune_config, TUNE_CONFIG);
    SAME(evaluation, EVALUATION);
    SAME(feature_norms, FEATURE_NORMS);
    SAME(generation_config, GENERATION_CONFIG);
    SAME(export_config, EXPORT_CONFIG);
    SAME(merge_report, MERGE_REPORT);
    /* The last error is left alone where nothing fails. */
    {
        loravk_adapter_config config;
        loravk_context *context = NULL;
        loravk_model *model = NULL;
        check(loravk_context_create(NULL, &context));
        if (loravk_model_load(context, "no/such/model", NULL, &model) != LORAVK_ERROR_FILE) fail("load", "worked");
        check(loravk_adapter_config_init(&config, sizeof config));
        if (!strstr(loravk_last_error(), "no/such/model")) fail("the last error", "is gone");
        loravk_context_release(context);
    }
    printf("%d structs\n", structs);
    return 0;
}
