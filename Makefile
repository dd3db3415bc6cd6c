# Stentor's only build. Folders decide flags; adding a source file never edits this file.
#
#   make                the library and the program, in build/release
#   make test           every test that this machine can run
#   make demo           install what is missing, build, train on real text, print what the model writes
#   make lint           layers, limits, format, static analysis
#   make exact          the same bits for any number of workers, on the demo's model
#   make install        program, headers, libraries, man page, stentor.pc   (PREFIX, DESTDIR)
#   V=1 prints each command   MODE=release|debug|asan|tsan|cover   CC=gcc|clang|aarch64-linux-gnu-gcc   ROOMS="base graph …" builds fewer rooms

VERSION := 0.1.0
V ?=
Q := $(if $(V),,@)
MODE    ?= release
PREFIX  ?= /usr/local
ifeq ($(origin CC),default)
CC := gcc
endif
MACHINE := $(shell $(CC) -dumpmachine 2>/dev/null)
OBJCOPY ?= objcopy
TARGET  := $(firstword $(subst -, ,$(MACHINE)))
BUILD   ?= build/$(MODE)$(if $(filter aarch64,$(TARGET)),-aarch64)

WARN := -Wall -Wextra -Wshadow -Wconversion -Wno-sign-conversion -Wstrict-prototypes -Wmissing-prototypes \
        -Wvla -Wdouble-promotion -Wundef -Werror
# -ffp-contract=off: only fma() that is written is done, so that every compiler computes the same bits.
BASE_FLAGS := -std=gnu11 -D_GNU_SOURCE -Isrc -Iinclude -DSTENTOR_VERSION='"$(VERSION)"' -fPIC -fvisibility=hidden \
              -pthread -ffp-contract=off -fno-fast-math -fno-math-errno -fno-trapping-math $(WARN) -MMD -MP
FLAGS_release := -O2 -D_FORTIFY_SOURCE=2 -fstack-protector-strong
FLAGS_debug   := -O0 -g
FLAGS_asan    := -O1 -g -DSANITIZED -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
FLAGS_tsan    := -O1 -g -DSANITIZED -fsanitize=thread -fno-omit-frame-pointer
FLAGS_cover   := -O0 -g --coverage
LINK_asan     := -fsanitize=address,undefined
LINK_tsan     := -fsanitize=thread
LINK_cover    := --coverage
CFLAGS_ALL    := $(BASE_FLAGS) $(FLAGS_$(MODE)) $(CFLAGS)
# A variable, since a comma inside $(if) would end its argument.
HARDEN        := -Wl,-z,relro -Wl,-z,now
LDFLAGS_ALL   := $(LINK_$(MODE)) -pthread $(if $(filter Linux,$(shell uname)),$(HARDEN)) $(LDFLAGS)

# ---- libraries: needed ones are linked, optional ones are found by themselves
has = $(shell echo 'int main(void){return 0;}' | $(CC) $(CFLAGS) -x c -include $(1) - -o /dev/null $(LDFLAGS) $(2) 2>/dev/null && echo 1)
LIBS := -ljansson -lyaml -lxxhash -lpcre2-8 -lutf8proc -lm
HAS_ZLIB := $(call has,zlib.h,-lz)
HAS_ZSTD := $(call has,zstd.h,-lzstd)
ifeq ($(HAS_ZLIB),1)
CFLAGS_ALL += -DHAVE_ZLIB
LIBS += -lz
endif
ifeq ($(HAS_ZSTD),1)
CFLAGS_ALL += -DHAVE_ZSTD
LIBS += -lzstd
endif
# Where loading a library at run time is a library of its own.
ifeq ($(call has,dlfcn.h,-ldl),1)
LIBS += -ldl
endif
STATIC ?=
LIBS += $(if $(STATIC),-static)
CFLAGS_ALL += $(if $(STATIC),-DWITHOUT_LOADING)

# A compiler that knows AMX (x86-64, gcc 11, clang 12).
HAS_AMX := $(if $(filter x86_64,$(TARGET)),$(shell echo 'int main(void){_tile_zero(0);_tile_dpbf16ps(0,1,2);return 0;}' | \
    $(CC) -mamx-tile -mamx-bf16 -x c -include immintrin.h -c - -o /dev/null 2>/dev/null && echo 1))
ifeq ($(HAS_AMX),1)
CFLAGS_ALL += -DHAVE_AMX
endif

# MPI: one loadable table for each library that is here (src/comm/mpi/library.h). V is the wrapper's name with its version.
# A wrapper prints its flags with -showme (Open MPI) or -compile-info (MPICH).
mpi_flags = $(filter -I% -L% -l% -Wl$(comma)-rpath%,$(shell $(1) -showme:compile 2>/dev/null && $(1) -showme:link 2>/dev/null || $(1) -compile-info 2>/dev/null))
comma := ,
MPI_KIND := $(if $(STATIC),,$(if $(shell command -v mpicc),$(if $(shell mpicc -showme:version 2>/dev/null),openmpi,mpich)))
MPI_WRAPPER = $(firstword $(shell command -v mpicc.$(1)) $(if $(filter $(1),$(MPI_KIND)),mpicc))
define FIND_MPI
MPI_FLAGS_$(1) := $(if $(call MPI_WRAPPER,$(1)),$(call mpi_flags,$(call MPI_WRAPPER,$(1))))
HAS_$(1) := $$(if $$(MPI_FLAGS_$(1)),$$(call has,mpi.h,$$(MPI_FLAGS_$(1))))
endef
$(if $(STATIC),,$(foreach library,openmpi mpich,$(eval $(call FIND_MPI,$(library)))))
MPI_LIBRARIES := $(foreach library,openmpi mpich,$(if $(filter 1,$(HAS_$(library))),$(library)))
MPI_SO = $(MPI_LIBRARIES:%=$(BUILD)/mpi.%.so)

# ---- sources
ROOMS ?= base text data kernel comm graph op pass nn model backend optim parallel store train infer api
SRC   := $(shell find $(addprefix src/,$(ROOMS)) -name '*.c' -not -path '*/lanes/*' -not -path '*/amx/*' -not -path '*/mpi/library.c' 2>/dev/null | sort)
LANES := $(if $(filter kernel,$(ROOMS)),$(shell find src/kernel -path '*/lanes/*.c' 2>/dev/null | sort))
# Unrolled tiles under a sanitizer take ten times as long to compile with -O3 as with -O1.
LANES_LEVEL := $(if $(filter asan tsan,$(MODE)),-O1,-O3)
# Kernels over 16 lanes are written once and compiled for each instruction set.
ISAS_x86_64  := generic avx2 avx512
ISAS_aarch64 := generic neon
ISAS := $(or $(ISAS_$(TARGET)),generic)
# The plain ones spell every lane out and were half the program. They serve processors without vectors of 256 bits, and comparisons:
# only those that take most of a step of float32 are fast rather than small.
FAST_generic  := product attention attention_grad output_loss
FLAGS_generic  = $(if $(filter asan tsan,$(MODE)),,$(if $(filter $(FAST_generic),$(notdir $*)),,-Os))
FLAGS_avx2    := -mavx2 -mfma
FLAGS_avx512  := -mavx512f -mavx512bw -mavx512vl -mavx512dq -mavx2 -mfma -mprefer-vector-width=512
FLAGS_neon    :=

# Those for tiles are their own files; they use the lanes of AVX-512.
AMX := $(if $(and $(HAS_AMX),$(filter kernel,$(ROOMS))),$(shell find src/kernel -path '*/amx/*.c' 2>/dev/null | sort))
FLAGS_amx := $(FLAGS_avx512) -mamx-tile -mamx-bf16

OBJ := $(SRC:%.c=$(BUILD)/%.o) $(foreach isa,$(ISAS),$(LANES:%.c=$(BUILD)/%.$(isa).o)) $(AMX:%.c=$(BUILD)/%.o)
LIB := $(BUILD)/libstentor.a
TOOL_OBJ := $(patsubst %.c,$(BUILD)/%.o,$(sort $(wildcard tool/*.c)))

# Commands wait for files and people: small rather than fast.
$(TOOL_OBJ): CFLAGS_ALL += $(if $(filter release,$(MODE)),-Os)

.PHONY: all test demo lint exact bench install clean needs tests lib format report
all: report $(BUILD)/stentor $(BUILD)/libstentor.so $(MPI_SO)
lib: $(LIB)

report:
	@$(if $(HAS_ZLIB),,echo "left out: reading .gz files (zlib1g-dev not found)" >&2;) \
	 $(if $(HAS_ZSTD),,echo "left out: reading .zst files (libzstd-dev not found)" >&2;) \
	 $(if $(MPI_LIBRARIES)$(STATIC),,echo "left out: runs of many processes (neither libopenmpi-dev nor libmpich-dev found)" >&2;) true

$(LIB): $(OBJ)
	@rm -f $@
	$(Q)$(AR) rcs $@ $^
# What is installed shows stn_ names only, so that nothing of ours meets a name of yours.
$(BUILD)/install/libstentor.a: $(OBJ)
	@mkdir -p $(@D)
	$(Q)$(LD) -r -o $(@D)/stentor.o $(OBJ)
	$(Q)$(OBJCOPY) --wildcard --keep-global-symbol='stn_*' $(@D)/stentor.o
	@rm -f $@
	$(Q)$(AR) rcs $@ $(@D)/stentor.o
$(BUILD)/libstentor.so: $(OBJ) script/stentor.map
	$(Q)$(CC) -shared -Wl,-soname,libstentor.so.0 -Wl,--version-script=script/stentor.map -o $@ $(OBJ) $(LDFLAGS_ALL) $(LIBS)
$(BUILD)/stentor: $(TOOL_OBJ) $(LIB)
	$(Q)$(CC) -o $@ $(TOOL_OBJ) $(LIB) $(LDFLAGS_ALL) $(LIBS)

$(MPI_SO): $(BUILD)/mpi.%.so: src/comm/mpi/library.c src/comm/mpi/library.h Makefile
	@mkdir -p $(@D)
	$(Q)$(CC) $(filter-out -MMD -MP,$(BASE_FLAGS)) $(filter-out -fsanitize=%,$(FLAGS_$(MODE))) $(CFLAGS) -shared \
	    $(MPI_FLAGS_$*) $< -o $@ $(LDFLAGS) $(MPI_FLAGS_$*)

$(BUILD)/%.o: %.c Makefile
	@mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS_ALL) -c $< -o $@
define LANES_RULE
$(BUILD)/%.$(1).o: %.c Makefile
	@mkdir -p $$(@D)
	$(Q)$(CC) $(CFLAGS_ALL) $(LANES_LEVEL) $$(FLAGS_$(1)) -DLANES_$(1)=1 -DLANES_ISA=$(1) -c $$< -o $$@
endef
$(foreach isa,$(ISAS),$(eval $(call LANES_RULE,$(isa))))
$(AMX:%.c=$(BUILD)/%.o): $(BUILD)/%.o: %.c Makefile
	@mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS_ALL) -O3 $(FLAGS_amx) -DLANES_avx512=1 -DLANES_ISA=amx -c $< -o $@

# ---- tests: test/**/test_*.c are cmocka programs; test/double/ is built with real = double
TEST_SRC   := $(shell find test -name 'test_*.c' -not -path 'test/double/*' 2>/dev/null | sort)
TEST_BIN   := $(TEST_SRC:%.c=$(BUILD)/%)
DOUBLE_SRC := $(shell find $(addprefix src/,$(filter base graph op pass nn model,$(ROOMS))) src/backend -maxdepth 1 -name '*.c' 2>/dev/null | sort)
DOUBLE_OBJ := $(DOUBLE_SRC:%.c=$(BUILD)/double/%.o)
DOUBLE_BIN := $(patsubst %.c,$(BUILD)/%,$(shell find test/double -name 'test_*.c' 2>/dev/null | sort))

$(BUILD)/double/%.o: %.c Makefile
	@mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS_ALL) -DREAL=double -DREAL_IS_DOUBLE=1 -c $< -o $@
$(DOUBLE_BIN): $(BUILD)/%: %.c $(DOUBLE_OBJ)
	@mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS_ALL) -Wno-double-promotion -Itest -DREAL=double -DREAL_IS_DOUBLE=1 $< $(DOUBLE_OBJ) -o $@ $(LDFLAGS_ALL) -lcmocka $(LIBS)
$(BUILD)/test/%: test/%.c $(LIB)
	@mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS_ALL) -Wno-double-promotion -Itest $< $(LIB) -o $@ $(LDFLAGS_ALL) -lcmocka $(LIBS)
tests: $(TEST_BIN) $(DOUBLE_BIN) $(MPI_SO)

needs:
	@sh script/install_needs.sh
test: needs
	@$(MAKE) --no-print-directory all tests
	@BUILD=$(BUILD) CC="$(CC)" LINK="$(LINK_$(MODE))" SANITIZED="$(if $(filter asan tsan,$(MODE)),1)" sh script/run_tests.sh
# LANGUAGE is also a variable of locales: only the one on the command line counts.
demo:
	@sh script/demo.sh "$(if $(filter command line,$(origin LANGUAGE)),$(LANGUAGE))" "$(TEXT)"
exact: all
	@BUILD=$(BUILD) sh script/exact.sh
lint:
	@sh script/lint.sh
format:
	clang-format -i $$(git ls-files '*.c' '*.h' | grep -v src/kernel/cpu/kernels.h)
bench: all
	@BUILD=$(BUILD) LIBS="$(LIBS)" DEFINES="$(if $(HAS_AMX),-DHAVE_AMX)" sh script/bench.sh
install: all $(BUILD)/install/libstentor.a
	@BUILD=$(BUILD) PREFIX="$(PREFIX)" DESTDIR="$(DESTDIR)" VERSION=$(VERSION) LIBS="$(LIBS)" MPI_SO="$(MPI_SO)" sh script/install.sh
clean:
	rm -rf build

-include $(OBJ:.o=.d) $(TOOL_OBJ:.o=.d) $(DOUBLE_OBJ:.o=.d) $(TEST_BIN:%=%.d) $(DOUBLE_BIN:%=%.d)
