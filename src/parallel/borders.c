// SPDX-License-Identifier: Apache-2.0
// Which leaves each worker computes. Nothing here changes a bit of the result: borders decide only who computes what.
#include "base/philox.h"
#include "parallel/batch_tree.h"

void borders_equal(int leaves, int workers, int *border)
{
    int share = leaves / workers, larger = leaves % workers;
    for (int r = 0; r <= workers; r++) border[r] = r * share + (r < larger ? r : larger);
}

void borders_random(uint64_t seed, int64_t step, int leaves, int workers, int *border)
{
    struct philox_address at = {seed, philox_stream(PHILOX_BALANCE, 0), (uint32_t)step, 0};
    border[0] = 0;
    for (int r = 1; r < workers; r++)
        border[r] = (int)(philox_bits(at, (uint64_t)r) % (uint32_t)(leaves + 1));
    border[workers] = leaves;
    // Insertion sort: workers are few, and this mode is for tests.
    for (int i = 2; i < workers; i++) {
        int moved = border[i], j = i;
        for (; j > 1 && border[j - 1] > moved; j--) border[j] = border[j - 1];
        border[j] = moved;
    }
}

// Leaves are alike, so only the counts matter, and giving each next leaf to whoever would be done with it first makes
// the slowest worker's time least. border[r + 1] counts worker r's leaves until the end. Ties go to the lower rank.
void borders_measured(int leaves, int workers, const double *seconds_per_leaf, int *border)
{
    int each = leaves >= workers ? 1 : 0;
    border[0] = 0;
    for (int r = 0; r < workers; r++) border[r + 1] = each;
    for (int left = leaves - each * workers; left > 0; left--) {
        int quickest = 0;
        double least = 0;
        for (int r = 0; r < workers; r++) {
            double seconds = (border[r + 1] + 1) * seconds_per_leaf[r];
            if (r > 0 && !(seconds < least)) continue;
            least = seconds;
            quickest = r;
        }
        border[quickest + 1]++;
    }
    for (int r = 0; r < workers; r++) border[r + 1] += border[r];
}

double borders_seconds(int workers, const double *seconds_per_leaf, const int *border)
{
    double slowest = 0;
    for (int r = 0; r < workers; r++) {
        double seconds = (border[r + 1] - border[r]) * seconds_per_leaf[r];
        if (seconds > slowest) slowest = seconds;
    }
    return slowest;
}

// ---- fewer sums left behind ----
static int nodes_of(int first, int last)
{
    struct node node[MAX_NODES];
    return run_nodes(first, last, node);
}

// The border between two runs [first, border) and [border, last) that leaves the fewest nodes and keeps both workers within `most`
// seconds; of equal ones the nearest to where it is.
static int align_one(int first, int border, int last, const double *seconds, double most)
{
    int best = border, least = nodes_of(first, border) + nodes_of(border, last);
    for (int away = 1; away < last - first; away++) {
        const int both[] = {border - away, border + away};
        for (int i = 0; i < 2; i++) {
            int at = both[i];
            if (at <= first || at >= last) continue;
            if ((at - first) * seconds[0] > most || (last - at) * seconds[1] > most) continue;
            int nodes = nodes_of(first, at) + nodes_of(at, last);
            if (nodes >= least) continue;
            least = nodes;
            best = at;
        }
    }
    return best;
}

void borders_align(int workers, const double *seconds_per_leaf, double part, int *border)
{
    double most = borders_seconds(workers, seconds_per_leaf, border) * (1 + part);
    // A border's neighbours move, too: what one pass cannot do, a second often can.
    for (int pass = 0; pass < 2; pass++)
        for (int r = 1; r < workers; r++)
            if (border[r - 1] < border[r] && border[r] < border[r + 1])
                border[r] = align_one(border[r - 1], border[r], border[r + 1],
                                      seconds_per_leaf + r - 1, most);
}
