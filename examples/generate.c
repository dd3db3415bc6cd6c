/* SPDX-License-Identifier: Apache-2.0 */
/* Continues a prompt with a trained model:  ./generate out "Once"
 * cc examples/generate.c $(pkg-config --cflags --libs stentor) -o generate */
#include <stdio.h>
#include <stentor.h>
#include <string.h>

static bool print(void *context, const char *text, size_t bytes)
{
    (void)context;
    return fwrite(text, 1, bytes, stdout) == bytes && fflush(stdout) == 0;
}

int main(int argc, char **argv)
{
    struct stn_model *model;
    struct stn_generation generation;
    int64_t tokens;
    if (argc < 2) {
        fprintf(stderr, "usage: generate MODEL [PROMPT]\n");
        return 2;
    }
    const char *prompt = argc > 2 ? argv[2] : "";
    if (stn_model_open(argv[1], &model)) {
        fprintf(stderr, "%s\n", stn_error());
        return 1;
    }
    stn_generation_defaults(&generation);
    generation.temperature = 0.8;
    generation.top_k = 40;
    generation.seed = 1;
    enum stn_status status =
        stn_generate(model, prompt, strlen(prompt), &generation, print, NULL, &tokens);
    if (status)
        fprintf(stderr, "%s\n", stn_error());
    else
        printf("\n(%lld tokens)\n", (long long)tokens);
    stn_model_close(model);
    return status != STN_OK;
}
