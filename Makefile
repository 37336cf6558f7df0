# multiprocessing for Lua. `make help` lists the targets; settings can be given on the command line,
# V=1 shows each command.
LUA_VERSION ?= 5.4
LUA     ?= lua$(LUA_VERSION)
PREFIX  ?= /usr/local
BUILD   ?= build
JOBS    ?= 2
SECONDS ?= 60
SEED    ?= 1
PYTHON  ?= /usr/bin/python3
LUA_INCDIR ?= $(or $(patsubst -I%,%,$(filter -I%,$(shell pkg-config --cflags lua$(LUA_VERSION) 2>/dev/null))),/usr/include/lua$(LUA_VERSION))
LUA_LIBS   ?= $(or $(shell pkg-config --libs lua$(LUA_VERSION) 2>/dev/null),-llua$(LUA_VERSION))

# ---- nothing to change below this line ---------------------------------------------------------
SHELL := /bin/sh
FLAVOUR := $(filter-out build,$(notdir $(BUILD)))
TEST_BUILD := $(if $(FLAVOUR),$(BUILD),build/test)
WARNINGS := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wconversion -Wundef \
  -Wwrite-strings -Wcast-qual -Wpointer-arith -Wredundant-decls -Werror
FLAGS := -std=c11 -D_GNU_SOURCE -O2 -g -fPIC -fno-plt -fvisibility=hidden -pthread $(WARNINGS)
# What a build folder's name means. Every one but the plain build has the test code.
SANITIZE_asan := -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
SANITIZE_tsan := -fsanitize=thread
SANITIZE_fuzz := -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all
SANITIZE := $(SANITIZE_$(FLAVOUR))
DEFINES := $(if $(FLAVOUR),-DMP_TEST) $(if $(filter trace,$(FLAVOUR)),-DMP_TRACE)
ifeq ($(FLAVOUR),fuzz)
CC := clang
endif
COMPILE = $(CC) $(FLAGS) $(DEFINES) $(SANITIZE) $(CFLAGS) -MMD -MP

comma := ,
sources = $(wildcard src/$1/*.c)
objects = $(patsubst src/%.c,$(BUILD)/%.o,$(call sources,$1))
CORE_O := $(filter-out $(if $(FLAVOUR),,%/os_fault.o),$(call objects,core))
CODEC_O := $(call objects,codec)
BINDING_O := $(call objects,binding)
# What a forked child runs stands together, in few pages: its first look at each costs a fault.
CHILD_O := $(patsubst %,$(BUILD)/core/%.o,process process_leash process_end context proctab os_posix_signal os_posix \
  os_linux_process os_linux_fd bell handle object heap heap_small pool_supervisor pool pool_work park mutex clock) \
  $(patsubst %,$(BUILD)/binding/%.o,process module pool_worker pool)
LIBRARY_O := $(CORE_O) $(CODEC_O) $(BINDING_O) $(BUILD)/embed.o
LUA_FILES := $(wildcard lua/multiprocessing/*.lua)
OUTPUTS := $(BUILD)/multiprocessing/core.so $(BUILD)/libmultiprocessing.a $(BUILD)/libmultiprocessing.so

C_TESTS := $(patsubst spec/core/%.c,$(BUILD)/spec/%,$(wildcard spec/core/*_test.c))
CRASH_TESTS := $(patsubst spec/core/%.c,$(BUILD)/spec/%,$(wildcard spec/core/*_crash.c))
TORTURES := $(patsubst spec/crash/%.c,$(BUILD)/spec/crash/%,$(wildcard spec/crash/*.c))
STEPS := $(patsubst spec/step/%.c,build/spec/step/%,$(wildcard spec/step/*.c))
FUZZERS := $(patsubst spec/fuzz/%.c,$(BUILD)/spec/fuzz/%,$(wildcard spec/fuzz/*_fuzz.c))
SPECS := $(shell find spec -name '*_spec.lua' 2>/dev/null | sort)
named = $(if $(T),$(foreach f,$1,$(if $(findstring $(T),$(notdir $f)),$f)),$1)

.PHONY: all env demo test check test-programs crash-programs step-programs fuzzers layers lint asan tsan valgrind \
  crash fuzz model bench rockspec install clean help
.SECONDARY:
ifndef V
.SILENT:
endif
SAY = @echo "  $@"

all: $(OUTPUTS)   ## build the Lua module and the libraries

$(BUILD)/core/%.o: src/core/%.c
	$(SAY)
	@mkdir -p $(@D)
	$(COMPILE) -c -o $@ $<
$(BUILD)/codec/%.o: src/codec/%.c
	$(SAY)
	@mkdir -p $(@D)
	$(COMPILE) -I$(LUA_INCDIR) -c -o $@ $<
$(BUILD)/binding/%.o: src/binding/%.c
	$(SAY)
	@mkdir -p $(@D)
	$(COMPILE) -I$(LUA_INCDIR) -c -o $@ $<
$(BUILD)/embed.c: tools/embed.lua $(LUA_FILES)
	$(SAY)
	@mkdir -p $(@D)
	$(LUA) tools/embed.lua $(LUA_FILES) > $@.new && mv $@.new $@
$(BUILD)/embed.o: $(BUILD)/embed.c
	$(SAY)
	$(COMPILE) -I$(LUA_INCDIR) -c -o $@ $<
$(BUILD)/multiprocessing/core.so: $(CORE_O) $(CODEC_O) $(BINDING_O) tools/exports.map
	$(SAY)
	@mkdir -p $(@D)
	$(CC) -shared $(SANITIZE) $(LDFLAGS) -Wl,-z,nodelete,-z,now,-z,noseparate-code -Wl,--version-script=tools/exports.map \
	  -o $@ $(CHILD_O) $(filter-out $(CHILD_O),$(filter %.o,$^)) -pthread
$(BUILD)/libmultiprocessing.so: $(LIBRARY_O)
	$(SAY)
	$(CC) -shared $(SANITIZE) $(LDFLAGS) -Wl,-z,nodelete,-z,now -Wl,-soname,libmultiprocessing.so -o $@ $^ -pthread
$(BUILD)/libmultiprocessing.a: $(LIBRARY_O)
	$(SAY)
	@rm -f $@
	$(AR) rcs $@ $^

# Test programs link with the core; those with _lua_ in their names and the fuzzers with the codec too.
$(BUILD)/spec/fuzz/%: spec/fuzz/%.c $(CORE_O) $(CODEC_O)
	$(SAY)
	@mkdir -p $(@D)
	$(COMPILE) -MF $@.d -fsanitize=fuzzer -I. -I$(LUA_INCDIR) -o $@ $(filter %.c %.o,$^) $(LUA_LIBS) -lm
define test_program
$(BUILD)/spec/$1: $2 $(CORE_O) $(if $(findstring _lua_,$1),$(CODEC_O))
	$$(SAY)
	@mkdir -p $$(@D)
	$$(COMPILE) -MF $$@.d -I. $(if $(findstring _lua_,$1),-I$(LUA_INCDIR)) -o $$@ $$(filter %.c %.o,$$^) $$(LDFLAGS) \
	  $(if $(findstring _lua_,$1),$(LUA_LIBS)) -lm
endef
$(CRASH_TESTS): private LDFLAGS += $(patsubst %,-Wl$(comma)--wrap=mp_%,\
  heap_reserve os_commit os_punch os_zombie_status)
$(foreach f,$(wildcard spec/core/*_test.c spec/core/*_crash.c),$(eval $(call test_program,$(basename $(notdir $f)),$f)))
$(foreach f,$(wildcard spec/crash/*.c),$(eval $(call test_program,crash/$(basename $(notdir $f)),$f)))
$(foreach f,$(wildcard spec/step/*.c),$(eval $(call test_program,step/$(basename $(notdir $f)),$f)))
$(BUILD)/spec/codec_test.so: spec/support/codec_module.c $(CODEC_O)
	$(SAY)
	@mkdir -p $(@D)
	$(COMPILE) -MF $@.d -I. -I$(LUA_INCDIR) -shared -o $@ $(filter %.c %.o,$^)
$(BUILD)/spec/binding_test.so: spec/support/binding_module.c $(CORE_O) $(CODEC_O) $(BINDING_O)
	@mkdir -p $(@D)
	$(COMPILE) -MF $@.d -I. -I$(LUA_INCDIR) -shared -Wl,-z,nodelete,-z,now -o $@ $(filter %.c %.o,$^)
build/run: spec/support/run.c
	$(SAY)
	@mkdir -p $(@D)
	$(CC) $(FLAGS) -o $@ $<

-include $(LIBRARY_O:.o=.d) $(addsuffix .d,$(C_TESTS) $(CRASH_TESTS) $(TORTURES) $(STEPS) $(FUZZERS))

env:   ## print the lines that make this tree's module usable: eval "$(make -s env)"
	@echo 'export LUA_PATH="$(CURDIR)/lua/?.lua;$(CURDIR)/lua/?/init.lua;$${LUA_PATH:-;}"'
	@echo 'export LUA_CPATH="$(CURDIR)/$(BUILD)/?.so;$${LUA_CPATH:-;}"'

demo:   ## install what is missing, build, count the words of real files in parallel
	@sh tools/setup.sh run
	@$(MAKE) -s all
	@test -f examples/wordcount.lua || { echo "examples/wordcount.lua is not there" >&2; exit 1; }
	@eval "$$($(MAKE) -s env)"; $(LUA) examples/wordcount.lua

test:   ## install what is missing, then all specs and C tests
	@sh tools/setup.sh test
	@$(MAKE) -s check

test-programs: $(call named,$(C_TESTS)) $(BUILD)/spec/codec_test.so $(BUILD)/spec/binding_test.so
crash-programs: $(call named,$(CRASH_TESTS) $(TORTURES))
step-programs: $(call named,$(STEPS))
fuzzers: $(call named,$(FUZZERS))
CHECK = BUILD=$(BUILD) JOBS=$(JOBS) LUA=$(LUA) sh tools/check.sh
in_tests = $(subst $(BUILD)/spec/,$(TEST_BUILD)/spec/,$1)

check: build/bench/least.so build/bench/whole
check: all build/run   ## specs and C tests without the set-up; T=queue for those of one name
	@$(MAKE) -s test-programs BUILD=$(TEST_BUILD)
	@$(CHECK) $(call in_tests,$(call named,$(C_TESTS))) $(call named,$(SPECS))

asan:   ## the same under AddressSanitizer and UndefinedBehaviorSanitizer
	@$(MAKE) -s check BUILD=build/asan MP_SLOW=4
tsan: build/run   ## the C tests under ThreadSanitizer: threads stand in for processes
	@$(MAKE) -s test-programs BUILD=build/tsan
	@MP_SLOW=8 BUILD=build/tsan JOBS=$(JOBS) sh tools/check.sh \
	  $(patsubst $(BUILD)/%,build/tsan/%,$(call named,$(C_TESTS)))
valgrind: all build/run   ## the C tests under valgrind
	@$(MAKE) -s test-programs BUILD=build/test
	@MP_SLOW=20 WRAPPER="valgrind -q --error-exitcode=99" $(CHECK) \
	  $(patsubst $(BUILD)/%,build/test/%,$(call named,$(C_TESTS)))

crash: build/run   ## crash enumeration, single-step kills, then torture for SECONDS= in all, from SEED=
	@$(MAKE) -s crash-programs BUILD=build/test
	@$(MAKE) -s step-programs BUILD=build
	@SECONDS=$(SECONDS) SEED=$(SEED) $(CHECK) $(call named,$(STEPS)) \
	  $(patsubst $(BUILD)/%,build/test/%,$(call named,$(CRASH_TESTS) $(TORTURES)))
	@cat /dev/null $(patsubst %,$(BUILD)/log/%.log,$(notdir $(call named,$(CRASH_TESTS)))) \
	  | awk -v every=$${CRASH_EVERY:-1} -f tools/crash_total.awk
fuzz: build/run   ## the decoder and the attach check under libFuzzer, for SECONDS= in all
	@$(MAKE) -s fuzzers BUILD=build/fuzz
	@SECONDS=$(SECONDS) SEED=$(SEED) $(CHECK) $(patsubst $(BUILD)/%,build/fuzz/%,$(call named,$(FUZZERS)))

model:   ## the models of mutex and park, checked with Spin
	@sh spec/model/run.sh

layers:   ## the layering rule
	@$(MAKE) -s all
	@CC="$(CC)" LUA_INCDIR=$(LUA_INCDIR) $(LUA) tools/layers.lua
lint:   ## clang-tidy, cppcheck, luacheck, the function-size budget
	@LUA=$(LUA) LUA_INCDIR=$(LUA_INCDIR) JOBS=$(JOBS) sh tools/lint.sh
BENCH_PROGRAMS := build/bench/least.so \
  $(patsubst bench/c/%.c,build/bench/%,$(filter-out %/least.c,$(wildcard bench/c/*.c)))
build/bench/least.so: bench/c/least.c $(wildcard bench/c/*.h)
	$(SAY)
	@mkdir -p $(@D)
	$(CC) $(FLAGS) -I$(LUA_INCDIR) -shared -o $@ $<
build/bench/%: bench/c/%.c $(wildcard bench/c/*.h)
	$(SAY)
	@mkdir -p $(@D)
	$(CC) $(FLAGS) -o $@ $<
bench: all $(BENCH_PROGRAMS)   ## our figures beside Python's and the C floors; CASES=codec for one
	@PYTHON=$(PYTHON) BUILD=$(BUILD) $(LUA) bench/run.lua $(CASES)

rockspec:   ## write the rockspec anew, after files came or went
	@$(LUA) tools/rockspec.lua > rockspec/multiprocessing-scm-1.rockspec
install: all   ## into PREFIX (/usr/local)
	install -d $(DESTDIR)$(PREFIX)/lib/lua/$(LUA_VERSION)/multiprocessing $(DESTDIR)$(PREFIX)/share/lua/$(LUA_VERSION)/multiprocessing \
	  $(DESTDIR)$(PREFIX)/include
	install -m 755 $(BUILD)/multiprocessing/core.so $(DESTDIR)$(PREFIX)/lib/lua/$(LUA_VERSION)/multiprocessing/
	install -m 644 $(LUA_FILES) $(DESTDIR)$(PREFIX)/share/lua/$(LUA_VERSION)/multiprocessing/
	install -m 644 src/multiprocessing.h $(DESTDIR)$(PREFIX)/include/
	install -m 755 $(BUILD)/libmultiprocessing.so $(DESTDIR)$(PREFIX)/lib/
	install -m 644 $(BUILD)/libmultiprocessing.a $(DESTDIR)$(PREFIX)/lib/

clean:   ## remove the build folder
	rm -rf build
help:   ## this list
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' $(firstword $(MAKEFILE_LIST)) | expand -t 12
