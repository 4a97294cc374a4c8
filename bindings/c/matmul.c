/* A matrix product on the device, checked on the host. usage: matmul [M K N] */
#include <loravk.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static void check(loravk_status status) {
    if (status == LORAVK_OK) return;
    fprintf(stderr, "%s: %s\n", loravk_status_name(status), loravk_last_error());
    exit(1);
}

/* A device tensor (rows, columns) that holds `values`, or zeros where they are NULL. */
static loravk_tensor *matrix(loravk_context *context, int64_t rows, int64_t columns, const float *values) {
    int64_t shape[2];
    loravk_tensor *tensor = NULL;
    shape[0] = rows;
    shape[1] = columns;
    check(loravk_tensor_create(context, LORAVK_F32, shape, 2, &tensor));
    if (values) check(loravk_tensor_upload(tensor, values, (size_t)(rows * columns) * sizeof *values));
    return tensor;
}

static float *random_values(size_t count) {
    size_t i;
    float *values = malloc(count * sizeof *values);
    if (!values) exit(1);
    for (i = 0; i < count; ++i) values[i] = (float)rand() / (float)RAND_MAX - 0.5f;
    return values;
}

int main(int argc, char **argv) {
    const int m = argc == 4 ? atoi(argv[1]) : 100;
    const int k = argc == 4 ? atoi(argv[2]) : 300;
    const int n = argc == 4 ? atoi(argv[3]) : 200;
    loravk_context *context = NULL;
    loravk_device_info device = LORAVK_DEVICE_INFO_INIT;
    loravk_tensor *a, *b, *y;
    float *a_values, *b_values, *y_values;
    double worst = 0;
    int row, column, i;

    if (m < 1 || k < 1 || n < 1) {
        fprintf(stderr, "usage: matmul [M K N]\n");
        return 2;
    }
    a_values = random_values((size_t)m * (size_t)k);
    b_values = random_values((size_t)k * (size_t)n);
    y_values = random_values((size_t)m * (size_t)n);

    check(loravk_context_create(NULL, &context));
    check(loravk_context_get_device_info(context, &device));
    a = matrix(context, m, k, a_values);
    b = matrix(context, k, n, b_values);
    y = matrix(context, m, n, NULL);
    check(loravk_matmul(y, a, b, LORAVK_MATMUL_NN, 1, false));
    check(loravk_tensor_download(y, y_values, (size_t)m * (size_t)n * sizeof *y_values));

    for (row = 0; row < m; ++row) {
        for (column = 0; column < n; ++column) {
            double sum = 0;
            for (i = 0; i < k; ++i) sum += (double)a_values[row * k + i] * b_values[i * n + column];
            worst = fmax(worst, fabs(sum - y_values[row * n + column]));
        }
    }
    printf("LoRA-VK %s on %s: (%d, %d) x (%d, %d), largest error %.1e\n", loravk_version(), device.name, m, k, k, n, worst);

    loravk_tensor_release(a);
    loravk_tensor_release(b);
    loravk_tensor_release(y);
    loravk_context_release(context);
    free(a_values);
    free(b_values);
    free(y_values);
    return worst < 1e-4 * k ? 0 : 1;
}
