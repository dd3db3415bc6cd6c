/* SPDX-License-Identifier: Apache-2.0 */
/* Trains a small model on a text:  [mpirun -n 4] ./train input.txt out [steps]
 * cc examples/train.c $(pkg-config --cflags --libs stentor) -o train */
#include <signal.h>
#include <stdio.h>
#include <stentor.h>
#include <unistd.h>

static void on_signal(int number)
{
    (void)number;
    stn_trainer_stop(); /* the run ends with a checkpoint */
}

static bool on_step(void *context, const struct stn_step *step)
{
    if (step->step % 50 == 0 && *(const int *)context == 0)
        printf("step %lld, loss %.3f, %.0f tokens/s\n", (long long)step->step, step->loss,
               (double)step->tokens / step->seconds);
    return true;
}

static int fail(const char *what)
{
    fprintf(stderr, "%s: %s\n", what, stn_error());
    return 1;
}

int main(int argc, char **argv)
{
    struct stn_config *config;
    struct stn_trainer *trainer;
    struct stn_result result;
    int process;
    if (argc < 3) {
        fprintf(stderr, "usage: train TEXT OUT [STEPS]\n");
        return 2;
    }
    if (stn_join(&process, NULL)) return fail("processes");
    if (stn_config_create(&config)) return fail("config");
    if (stn_config_set(config, "data.train", argv[1]) || stn_config_set(config, "out", argv[2]) ||
        stn_config_set(config, "train.steps", argc > 3 ? argv[3] : "500"))
        return fail("config");
    if (stn_trainer_create(config, &trainer)) return fail("trainer");
    stn_config_destroy(config);
    if (process == 0)
        printf("%lld parameters, %.1f MB of memory\n", (long long)stn_trainer_parameters(trainer),
               (double)stn_trainer_memory(trainer).total / 1e6);
    signal(SIGINT, on_signal);
    enum stn_status status = stn_trainer_run(trainer, true, on_step, &process, &result);
    stn_trainer_destroy(trainer);
    if (status == STN_PEER) _exit(fail("run"));
    stn_leave();
    if (status) return fail("run");
    if (process > 0) return 0;
    printf("validation loss %.3f after %lld steps; sha256 %s\n", result.validation_loss,
           (long long)result.steps, result.sha256);
    return 0;
}
