// SPDX-License-Identifier: Apache-2.0
// Every allocation fails once while texts and summaries are read, and while sentences are chosen, by a model and without: always a
// clear message, never a crash or (under ASan) a leak; and what is there when it fails is released as if it were all.
#include "data/extracts.h"
#include "infer/extract.h"
#include "infer/task_model.h"
#include "scratch.h"
#include "torture/allocations.h"

// ---- the child ----
// A list and several summaries, a row without a sentence, one of Chinese.
static const char rows[] =
    "{\"text\": [\"One. Two\", \"three\"], \"summary\": [\"three four\", \"two\"]}\n"
    "{\"text\": \"\", \"summary\": \"nothing\"}\n"
    "{\"text\": \"\xE4\xB8\xAD\xE3\x80\x82We go.\", \"summary\": \"\xE4\xB8\xAD\"}\n";

static enum status read_rows(const char *path, const struct tokenizer *tokenizer)
{
    const struct form form = {.size = tokenizer_size(tokenizer), .sentence = true};
    const struct extracts_setup setup = {
        .rows = {.path = path, .column = {"text", "summary"}, .columns = 2},
        .tokenizer = tokenizer,
        .form = &form,
        .longest = 30};
    struct extracts extracts;
    TRY(extracts_read(&setup, &extracts));
    enum status status =
        extracts.count == 3 && extracts.sentences.count == 5 ? STATUS_OK : STATUS_PEER;
    extracts_release(&extracts);
    return status;
}

static enum status choose(const struct loaded_model *model)
{
    char many[6000]; // more sentences than arrays have room for at first
    struct extractor *extractor;
    struct extraction extractions[4];
    for (size_t i = 0; i < sizeof many; i++) many[i] = "We. "[i % 4];
    const struct extract_input inputs[] = {{text_of("One. Two. Three."), false},
                                           {{"", 0}, false},
                                           {text_of("a list\nof two"), true},
                                           {{many, sizeof many}, false}};
    TRY(extractor_create(model, 7, 2, &extractor));
    enum status status = extractor_run(extractor, inputs, 4, 2, extractions);
    for (int i = 0; i < 4; i++) {
        if (!status && (!extractions[i].done || extractions[i].count != (i == 1 ? 0 : 2)))
            status = STATUS_PEER;
        extraction_release(&extractions[i]);
    }
    extractor_destroy(extractor);
    return status;
}

static enum status make(struct loaded_model *model)
{
    const struct model_config config = {.type = "bag",
                                        .width = 4,
                                        .classes = 1,
                                        .sentences = true,
                                        .loss = LOSS_BINARY,
                                        .context = 20,
                                        .vocabulary = 256 + SPECIALS + SENTENCE_MARK_IDS};
    return small_byte_model(config, model);
}

static int child(const char *path)
{
    struct loaded_model model = {0};
    parameters_init(&model.parameters);
    enum status status = make(&model);
    if (!status) status = read_rows(path, model.tokenizer);
    if (!status) status = choose(&model);
    if (!status) status = choose(NULL);
    small_model_release(&model);
    return child_code(status);
}

// ---- the parent ----
static void every_failing_allocation_is_told(void **state)
{
    (void)state;
    const char *path = put_file(scratch_path("rows.jsonl"), rows, sizeof rows - 1);
    fail_each_allocation(path, 60);
}

int main(int count, char **arguments)
{
    return allocations_main(count, arguments, child, every_failing_allocation_is_told);
}
