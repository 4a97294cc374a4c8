/* What the library has to tell goes to the callback, and its data is destroyed when another takes its place. A folder for
 * compiled kernels that cannot be written is worth a line. */
#define _POSIX_C_SOURCE 200809L
#include "check.h"

struct told {
    int lines, destroyed;
};

static void count(void *told, loravk_log_level level, const char *text) {
    if (level == LORAVK_LOG_DEBUG && text[0]) ++((struct told *)told)->lines;
}

static void destroy(void *told) { ++((struct told *)told)->destroyed; }

static void use_a_device(void) {
    const int64_t shape[1] = {8};
    loravk_context *context = NULL;
    loravk_tensor *x = NULL;
    check(loravk_context_create(NULL, &context));
    check(loravk_tensor_create(context, LORAVK_F32, shape, 1, &x));
    check(loravk_scale(x, x, 2));
    loravk_tensor_release(x);
    loravk_context_release(context);
}

int main(void) {
    struct told first = {0, 0}, second = {0, 0};
    setenv("LORAVK_CACHE_DIR", "/proc/not-here", 1);
    use_a_device();
    check(loravk_set_log_callback(count, LORAVK_LOG_DEBUG, &first, destroy));
    use_a_device();
    if (first.lines < 1 || first.destroyed) return 1;
    check(loravk_set_log_callback(count, LORAVK_LOG_WARNING, &second, destroy));
    if (first.destroyed != 1) return 1;
    use_a_device();
    if (loravk_set_log_callback(count, 77, NULL, NULL) != LORAVK_ERROR_INVALID_ARGUMENT || second.destroyed) return 1;
    check(loravk_set_log_callback(NULL, LORAVK_LOG_DEBUG, NULL, NULL));
    if (second.lines || second.destroyed != 1) return 1;
    puts("told");
    return 0;
}
