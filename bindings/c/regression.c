/*
 * A LoRA regression with a loop of one's own, on tensors and operations alone: the frozen layer w is off by a matrix of rank 2,
 * and an adapter (a, b) of rank 4 learns the difference from examples. The step is recorded once and replayed.
 */
#include <loravk.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { N = 64, INPUTS = 32, OUTPUTS = 48, RANK = 4, STEPS = 300 };

static void check(loravk_status status) {
    if (status == LORAVK_OK) return;
    fprintf(stderr, "%s: %s\n", loravk_status_name(status), loravk_last_error());
    exit(1);
}

static float normal(void) {
    const double u = (rand() + 1.0) / (RAND_MAX + 1.0), v = rand() / (RAND_MAX + 1.0);
    return (float)(sqrt(-2 * log(u)) * cos(6.283185307179586 * v));
}

/* A device tensor (rows, columns) of normal numbers times `deviation`. */
static loravk_tensor *matrix(loravk_context *context, int64_t rows, int64_t columns, float deviation) {
    const int64_t shape[2] = {rows, columns};
    const size_t count = (size_t)(rows * columns);
    float *values = malloc(count * sizeof *values);
    loravk_tensor *tensor = NULL;
    size_t i;
    if (!values) exit(1);
    for (i = 0; i < count; ++i) values[i] = deviation * normal();
    check(loravk_tensor_create(context, LORAVK_F32, shape, 2, &tensor));
    check(loravk_tensor_upload(tensor, values, count * sizeof *values));
    free(values);
    return tensor;
}

static double mean_square(loravk_tensor *tensor) {
    static float values[N * OUTPUTS];
    double sum = 0;
    size_t i;
    check(loravk_tensor_download(tensor, values, sizeof values));
    for (i = 0; i < N * OUTPUTS; ++i) sum += (double)values[i] * values[i];
    return sum / (N * OUTPUTS);
}

int main(void) {
    const float scaling = 1;
    loravk_context *context = NULL;
    loravk_optimizer *optimizer = NULL;
    loravk_graph *step = NULL;
    double first = 0, last = 0, norm = 0;
    int i;

    check(loravk_context_create(NULL, &context));
    {
        /* What is known: examples x with answers t = x * (w + v * u)^T. */
        loravk_tensor *x = matrix(context, N, INPUTS, 1);
        loravk_tensor *w = matrix(context, OUTPUTS, INPUTS, 0.2f);
        loravk_tensor *u = matrix(context, 2, INPUTS, 0.2f);
        loravk_tensor *v = matrix(context, OUTPUTS, 2, 1);
        loravk_tensor *hidden = matrix(context, N, 2, 0);
        loravk_tensor *t = matrix(context, N, OUTPUTS, 0);
        /* What is learned, and what a step needs. */
        loravk_tensor *a = matrix(context, RANK, INPUTS, 0.2f);
        loravk_tensor *b = matrix(context, OUTPUTS, RANK, 0);
        loravk_tensor *da = matrix(context, RANK, INPUTS, 0);
        loravk_tensor *db = matrix(context, OUTPUTS, RANK, 0);
        loravk_tensor *h = matrix(context, N, RANK, 0);
        loravk_tensor *y = matrix(context, N, OUTPUTS, 0);
        loravk_tensor *error = matrix(context, N, OUTPUTS, 0);
        loravk_tensor *dy = matrix(context, N, OUTPUTS, 0);
        loravk_tensor *parameters[2], *gradients[2], *all[14];

        check(loravk_matmul(t, x, w, LORAVK_MATMUL_NT, 1, false));
        check(loravk_matmul(hidden, x, u, LORAVK_MATMUL_NT, 1, false));
        check(loravk_matmul(t, hidden, v, LORAVK_MATMUL_NT, 1, true));

        parameters[0] = a, parameters[1] = b;
        gradients[0] = da, gradients[1] = db;
        check(loravk_optimizer_create(NULL, parameters, gradients, 2, &optimizer));

        /* loss = mean((y - t)^2), dy = 2 * (y - t) / count */
        check(loravk_graph_begin(context));
        check(loravk_zero(da));
        check(loravk_zero(db));
        check(loravk_lora_linear_forward(y, h, x, w, a, b, scaling));
        check(loravk_add(error, y, t, -1));
        check(loravk_scale(dy, error, 2.0f / (N * OUTPUTS)));
        check(loravk_lora_linear_backward(NULL, da, db, dy, x, h, w, a, b, scaling, false));
        check(loravk_graph_end(context, &step));

        for (i = 0; i < STEPS; ++i) {
            check(loravk_graph_run(step));
            check(loravk_optimizer_step(optimizer, 0.02 * (1 - (double)i / STEPS), &norm));
            if (i == 0) first = mean_square(error);
            if (i % 100 == 0) printf("step %3d  loss %.5f  gradient norm %.4f\n", i, mean_square(error), norm);
        }
        check(loravk_graph_run(step));
        last = mean_square(error);
        printf("step %3d  loss %.5f\n", STEPS, last);

        all[0] = x, all[1] = w, all[2] = u, all[3] = v, all[4] = hidden, all[5] = t, all[6] = a, all[7] = b;
        all[8] = da, all[9] = db, all[10] = h, all[11] = y, all[12] = error, all[13] = dy;
        for (i = 0; i < 14; ++i) loravk_tensor_release(all[i]);
    }
    loravk_graph_release(step);
    loravk_optimizer_release(optimizer);
    loravk_context_release(context);
    return last < first / 1000 ? 0 : 1;
}
