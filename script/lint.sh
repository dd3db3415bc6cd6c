#!/bin/sh
# make lint: layers, limits, format, static analysis. Each finding is one line; ends with "lint: clean" or "lint: N findings".
#   lint.sh layers|limits|words|format|tidy|shell   runs one part
set -u
cd "$(dirname "$0")/.." || exit 1
findings=0
found() { echo "$1"; findings=$((findings + 1)); }
report() { while IFS= read -r line; do found "${line#"$PWD/"}"; done; }
want() { [ "$part" = all ] || [ "$part" = "$1" ]; }
part=${1:-all}
scratch=$(mktemp)
trap 'rm -f "$scratch"' EXIT
files() { git ls-files --cached --others --exclude-standard "$@"; }
sources=$(files 'src/*.[ch]' 'tool/*.[ch]' 'include/*.h') && sources=$(echo "$sources" | sort) && [ -n "$sources" ] || {
    echo "lint: git does not say which files there are: no git here, or no checkout; nothing was looked at"
    echo "lint: 1 findings"
    exit 1
}

if want layers; then
    # What each room may include besides itself (DESIGN: the include order), transitively closed by hand.
    awk -v files="$sources" '
    function allow(room, list) { allowed[room] = " " room " " list " " }
    BEGIN {
        allow("base", ""); allow("text", "base"); allow("data", "base text"); allow("kernel", "base"); allow("comm", "base")
        allow("graph", "base"); allow("op", "base graph"); allow("pass", "base graph op"); allow("nn", "base graph op")
        allow("model", "base graph op nn"); allow("backend", "base graph op pass kernel"); allow("optim", "base kernel")
        allow("parallel", "base kernel graph op pass comm optim"); allow("store", "base graph op nn model text")
        below = "base text data kernel comm graph op pass nn model backend optim parallel store"
        allow("infer", below); allow("train", below " infer"); allow("api", below " train infer"); 
        n = split(files, list, "\n")
        for (i = 1; i <= n; i++) {
            file = list[i]; split(file, part, "/"); room = part[2]
            if (part[1] != "src") continue
            if (!(room in allowed)) { print file ": room " room " is not in the house"; continue }
            line = 0
            while ((getline text < file) > 0) {
                line++
                if (text ~ /exit *\(/ && text !~ /\/\// && text ~ /(^|[^_a-z])_?exit *\(/) print file ":" line ": exit() below tool/"
                if (text !~ /^ *# *include "/) continue
                target = text; sub(/^[^"]*"/, "", target); sub(/".*/, "", target)
                split(target, where, "/")
                if (index(target, "/") == 0 && target != "stentor.h") { print file ":" line ": include \"" target "\" names no room"; continue }
                if (target == "stentor.h") { if (room != "api") print file ":" line ": only api/ includes stentor.h"; continue }
                if (index(allowed[room], " " where[1] " ") == 0) print file ":" line ": " room "/ may not include " where[1] "/"
            }
            close(file)
        }
    }' >"$scratch" || found "lint: layers: awk failed"
    report <"$scratch"
fi

if want limits; then
    # Files up to 600 lines and functions up to 60, kernels exempt; lines up to 100 columns (comments 140); graph + pass up to 1,500 lines.
    for file in $sources; do
        case $file in src/kernel/*) continue ;; esac
        awk -v file="$file" '
        { if (length($0) > 100 && $0 !~ /\/\//) print file ":" FNR ": " length($0) " columns, 100 allowed"
          if (length($0) > 140) print file ":" FNR ": " length($0) " columns, 140 allowed in comments" }
        /^[a-zA-Z_].*[^;]$/ && /\(/ { name = $0; sub(/\(.*/, "", name); sub(/.*[ *]/, "", name) }
        /^\{/ { start = FNR }
        /^\}/ { if (start && FNR - start - 1 > 60) print file ":" start ": function " name " has " FNR - start - 1 " lines, 60 allowed"; start = 0 }
        END { if (FNR > 600) print file ": " FNR " lines, 600 allowed" }' "$file" || echo "$file: awk failed"
    done >"$scratch"
    report <"$scratch"
    size=$(cat src/graph/*.[ch] src/pass/*.[ch] | wc -l)
    [ "$size" -le 1500 ] || found "src/graph + src/pass: $size lines, 1,500 allowed"
fi

if want words; then
    words() { # words ARGUMENTS of git grep, which ends with 1 where it finds nothing
        git grep -n "$@" >"$scratch"
        [ $? -le 1 ] || found "lint: words: git grep failed"
        report <"$scratch"
    }
    words -i -E '\b(todo|fixme|xxx|hack|not implemented|unimplemented)\b' -- 'src' 'tool' 'include'
    words -E '\b(strcpy|strcat|sprintf|gets|atoi|atof|atol|alloca|system|popen|rand)\(' -- 'src' 'tool'
fi

if want format; then
    if command -v clang-format >/dev/null 2>&1; then
        for file in $sources $(files 'examples/*.c' 'test/*.[ch]' 'bench/*.c'); do
            case $file in src/kernel/cpu/kernels.h) continue ;; esac
            clang-format "$file" | cmp -s - "$file" || found "$file: not formatted (make format)"
        done
    else
        echo "lint: format skipped: clang-format is not here"
    fi
fi

if want tidy; then
    if command -v clang-tidy >/dev/null 2>&1; then
        # Without a finding of its own, a clang-tidy that fails is one.
        # shellcheck disable=SC2016
        tidy='said=$(clang-tidy --quiet "$1" -- -std=gnu11 -D_GNU_SOURCE -Isrc -Iinclude -DSTENTOR_VERSION="\"0\"" -DHAVE_ZLIB -DHAVE_ZSTD 2>/dev/null)
            code=$?
            printf "%s\n" "$said" | grep -E "(warning|error):" || [ $code -eq 0 ] || echo "$1: error: clang-tidy ended with $code and found nothing"'
        echo "$sources" | grep '\.c$' | grep -v -e '/lanes/' -e '/mpi/library.c' |
            xargs -P "$(getconf _NPROCESSORS_ONLN)" -n 1 sh -c "$tidy" sh >"$scratch"
        code=$?
        [ $code -lt 123 ] || found "lint: tidy: xargs ended with $code: not every file was looked at"
        sort -u -o "$scratch" "$scratch"
        report <"$scratch"
    else
        echo "lint: tidy skipped: clang-tidy is not here"
    fi
fi

if want shell; then
    if command -v shellcheck >/dev/null 2>&1; then
        # shellcheck disable=SC2046
        shellcheck -S warning -f gcc $(files 'script/*.sh' 'test/*.sh') .ci/run >"$scratch"
        code=$?
        [ $code -le 1 ] || found "lint: shell: shellcheck ended with $code"
        report <"$scratch"
    else
        echo "lint: shell skipped: shellcheck is not here"
    fi
fi

if [ "$findings" -eq 0 ]; then echo "lint: clean"; else echo "lint: $findings findings"; exit 1; fi
