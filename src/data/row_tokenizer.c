// SPDX-License-Identifier: Apache-2.0
#include "data/row_tokenizer.h"

#include "base/json.h"

// One of the two is made: a set of characters, or counts of pieces as `blank` cuts them.
struct gathering {
    struct char_set *set;
    struct tokenizer *blank;
    struct piece_table counts;
    bool rows, text; // there were some
};

static enum status gather_row(struct gathering *gathering, const struct row *row, int columns)
{
    for (int i = 0; i < columns; i++) {
        const uint8_t *text = (const uint8_t *)row->field[i].text;
        size_t bytes = row->field[i].bytes;
        gathering->text |= bytes > 0;
        if (gathering->set)
            char_set_add(gathering->set, text, bytes);
        else
            TRY(tokenizer_count(gathering->blank, text, bytes, &gathering->counts));
    }
    return STATUS_OK;
}

static enum status gather_rows(struct gathering *gathering, struct rows *rows, int columns)
{
    struct row row;
    bool more;
    for (;;) {
        TRY(rows_next(rows, &row, &more));
        if (!more) return STATUS_OK;
        gathering->rows = true;
        TRY(gather_row(gathering, &row, columns));
    }
}

static enum status gather(struct gathering *gathering, const struct rows_setup *setups, int count)
{
    for (int i = 0; i < count; i++) {
        struct rows *rows;
        TRY(rows_open(&setups[i], &rows));
        enum status status = gather_rows(gathering, rows, setups[i].columns);
        rows_close(rows);
        if (status) return status;
    }
    if (!gathering->rows) FAIL(STATUS_INPUT, "%s has no rows", setups[0].path);
    if (!gathering->text)
        FAIL(STATUS_INPUT, "%s: column %s is empty in all rows; a tokenizer cannot be made of it",
             setups[0].path, setups[0].column[0]);
    return STATUS_OK;
}

enum status rows_train_tokenizer(const struct rows_setup *setups, int count,
                                 const struct tokenizer_training *training,
                                 struct tokenizer **tokenizer_p)
{
    struct gathering gathering = {0};
    struct tokenizer_training made = training ? *training : (struct tokenizer_training){0};
    made.stop = setups[0].stop;
    json_object_seed(0);
    if (training)
        TRY(tokenizer_train_start(training, &gathering.blank));
    else
        TRY(char_set_create(&gathering.set));
    enum status status = gather(&gathering, setups, count);
    if (!status)
        status = training ? tokenizer_train(&made, &gathering.counts, tokenizer_p)
                          : tokenizer_char_create(gathering.set, tokenizer_p);
    piece_table_release(&gathering.counts);
    tokenizer_destroy(gathering.blank);
    char_set_destroy(gathering.set);
    return status;
}
