// What changes from step to step, written by the host before a graph replays, and what a step reports back.
// The Swift structs StepState and StepResult mirror these word by word. `OPTIMIZER_STATE` names an optimizer's own settings too,
// in the order of its `settings(step:)`.
#define OPTIMIZER_STATE(index, settings)                                                               \
    layout(std430, binding = index) readonly buffer StepState {                                        \
        uint seedLow, seedHigh;                                                                        \
        uint pass;                 /* forward passes so far: keys the random masks */                  \
        float lossScale;           /* 1 / number of counted tokens of the step */                      \
        float maxGradientNorm;     /* 0: no clipping */                                                \
        float learningRate;                                                                            \
        float weightDecay;                                                                             \
        settings                                                                                       \
    } state

#define STEP_STATE(index) OPTIMIZER_STATE(index, )

// AdamW's, which other optimizers have for some parameters.
#define ADAMW_SETTINGS                                                                                 \
        float beta1; float oneMinusBeta1;                                                              \
        float beta2; float oneMinusBeta2;                                                              \
        float biasCorrection1;     /* 1 − β1^t */                                                      \
        float rootBiasCorrection2; /* √(1 − β2^t) */                                                   \
        float epsilon;

#define STEP_RESULT(index, access)                                                                     \
    layout(std430, binding = index) access buffer StepResult {                                         \
        float lossSum;                                                                                 \
        float gradientNorm;                                                                            \
        float clipFactor;                                                                              \
        uint skipped;              /* 1: the norm was not finite, nothing was updated */               \
    } result
