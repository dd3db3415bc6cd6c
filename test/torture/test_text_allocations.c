// SPDX-License-Identifier: Apache-2.0
// Every allocation fails once while tokenizers are learned, written, read and used, and while texts are measured: always a clear
// message, never a crash or (under ASan) a leak. The program calls itself with STENTOR_FAIL_ALLOC=n until it succeeds.
#include "scratch.h"
#include "text/answer.h"
#include "text/auc.h"
#include "text/bleu.h"
#include "text/bootstrap.h"
#include "text/chrf.h"
#include "text/confusion.h"
#include "text/distinct.h"
#include "text/rouge.h"
#include "text/train_tokenizer.h"
#include "torture/allocations.h"

// ---- the child ----
static enum status use(const struct tokenizer *tokenizer, const char *folder)
{
    static const char text[] = "It's a cat, e\xCC\x81 \xE4\xB8\xAD abababababababababababababababab"
                               "ababababababababababababababababababab\n";
    static int32_t ids[4 * sizeof text];
    struct tokenizer *back;
    size_t count;
    TRY(tokenizer_save(tokenizer, folder));
    TRY(tokenizer_load(folder, &back));
    enum status status =
        tokenizer_encode(back, (const uint8_t *)text, sizeof text - 1, "a text", 0, ids, &count);
    tokenizer_destroy(back);
    return status;
}

static enum status learn(const struct tokenizer_training *training, const char *folder)
{
    static const char text[] = "the cat, the hat, abab abab cab\n";
    struct piece_table one = {0}, two = {0};
    struct tokenizer *blank, *tokenizer = NULL;
    TRY(tokenizer_train_start(training, &blank));
    enum status status = tokenizer_count(blank, (const uint8_t *)text, sizeof text - 1, &one);
    if (!status) status = piece_table_merge(&two, &one);
    if (!status) status = tokenizer_train(training, &two, &tokenizer);
    if (!status) status = use(tokenizer, folder);
    tokenizer_destroy(tokenizer);
    tokenizer_destroy(blank);
    piece_table_release(&one);
    piece_table_release(&two);
    return status;
}

static double exact(const void *context, const void *counts)
{
    (void)context;
    return answer_score(counts).exact;
}

static enum status measure_all(struct measure_work *work)
{
    struct text one = text_of("The cat's hat, \xE4\xB8\xAD.\nIt cannot be."),
                two = text_of("The hat of the cat: \xE4\xB8\xAD.");
    struct bleu_counts bleu = {0};
    struct chrf_counts chrf = {.matches = {0}};
    struct rouge_counts rouge = {0};
    struct answer_counts answers[2] = {{0}};
    struct interval interval;
    TRY(bleu_add(work, &(struct bleu_options){.lower_case = true}, one, &two, 1, &bleu));
    TRY(chrf_add(work, &(struct chrf_options){.words = 2}, one, &two, 1, &chrf));
    TRY(rouge_add(work, &(struct rouge_options){.stem = true}, one, &two, 1, &rouge));
    for (int kind = 0; kind < 2; kind++)
        TRY(answer_add(work, (enum answer_kind)kind, one, &two, 1, &answers[kind]));
    return bootstrap(answers, 2, sizeof *answers, exact, NULL,
                     &(struct bootstrap_options){.draws = 3}, &interval);
}

static enum status measure(void)
{
    struct measure_work *work;
    struct auc auc = {0};
    struct distinct distinct;
    struct confusion confusion;
    TRY(measure_work_create(&work));
    enum status status = measure_all(work);
    measure_work_destroy(work);
    if (!status) status = auc_add(&auc, 1, true);
    auc_release(&auc);
    distinct_init(&distinct, 1, false);
    if (!status) status = distinct_add(&distinct, text_of("a b"));
    distinct_release(&distinct);
    if (status) return status;
    TRY(confusion_create(3, &confusion));
    confusion_release(&confusion);
    return STATUS_OK;
}

static int child(const char *folder)
{
    static const struct tokenizer_training trainings[] = {
        {.vocabulary = 262, .special = {"<s>"}, .special_count = 1},
        {.words = true, .pattern = SPLIT_WORDS, .lower_case = true}};
    enum status status = STATUS_OK;
    for (int i = 0; i < 2 && !status; i++) status = learn(&trainings[i], folder);
    if (!status) status = measure();
    return child_code(status);
}

// ---- the parent ----
static void every_failing_allocation_is_told(void **state)
{
    (void)state;
    fail_each_allocation(scratch_path("t"), 100);
}

int main(int count, char **arguments)
{
    return allocations_main(count, arguments, child, every_failing_allocation_is_told);
}
