// What changes from step to step, written by the host before a graph replays, and what a step reports back.
// The Swift structs StepState and StepResult mirror these word by word.
#define STEP_STATE(index)                                                                              \
    layout(std430, binding = index) readonly buffer StepState {                                        \
        uint seedLow, seedHigh;                                                                        \
        uint pass;                 /* forward passes so far: keys the random masks */                  \
        float lossScale;           /* 1 / number of counted tokens of the step */                      \
        float maxGradientNorm;     /* 0: no clipping */                                                \
        float learningRate;                                                                            \
        float weightDecay;                                                                             \
        float beta1, oneMinusBeta1;                                                                    \
        float beta2, oneMinusBeta2;                                                                    \
        float biasCorrection1;     /* 1 − β1^t */                                                      \
        float rootBiasCorrection2; /* √(1 − β2^t) */                                                   \
        float epsilon;                                                                                 \
    } state

#define STEP_RESULT(index, access)                                                                     \
    layout(std430, binding = index) access buffer StepResult {                                         \
        float lossSum;                                                                                 \
        float gradientNorm;                                                                            \
        float clipFactor;                                                                              \
        uint skipped;              /* 1: the norm was not finite, nothing was updated */               \
    } result
