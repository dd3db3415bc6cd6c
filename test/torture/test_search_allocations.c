// SPDX-License-Identifier: Apache-2.0
// Every allocation fails once while texts are translated, in batches of several shapes and by draws: always a clear message, never a
// crash or (under ASan) a leak. The program calls itself with STENTOR_FAIL_ALLOC=n until it succeeds.
#include "infer/task_model.h"
#include "infer/translate.h"
#include "torture/allocations.h"

// ---- the child ----
static enum status make(const struct model_config *wanted, struct loaded_model *model)
{
    struct model_config config = *wanted;
    config.vocabulary = 259, config.source_vocabulary = 0, config.context = 20;
    return small_byte_model(config, model);
}

static enum status translate(const struct loaded_model *model, bool draws)
{
    const struct text texts[] = {text_of("one"), text_of(""), text_of("a longer text"),
                                 text_of("two"), text_of("a text that is cut at the end")};
    const uint64_t numbers[] = {1, 2, 3, 4, 5};
    struct search_options options;
    struct translator *translator;
    struct translation translations[5];
    search_defaults(&options);
    options.batch = 2, options.max_tokens = 3, options.beams = 2, options.draws = draws;
    TRY(translator_create(model, &options, 2, &translator));
    enum status status = translator_run(translator, texts, numbers, 5, translations);
    for (int i = 0; i < 5; i++) translation_release(&translations[i]);
    translator_destroy(translator);
    return status;
}

static int child(const char *argument)
{
    (void)argument;
    enum status status = STATUS_OK;
    for (int m = 0; m < TRANSLATORS && !status; m += 3) {
        struct loaded_model model = {0};
        parameters_init(&model.parameters);
        status = make(&translators[m], &model);
        if (!status) status = translate(&model, m > 0);
        small_model_release(&model);
    }
    return child_code(status);
}

// ---- the parent ----
static void every_failing_allocation_is_told(void **state)
{
    (void)state;
    fail_each_allocation("child", 100);
}

int main(int count, char **arguments)
{
    return allocations_main(count, arguments, child, every_failing_allocation_is_told);
}
