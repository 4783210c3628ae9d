# sallyport.  GNU make; `make help' lists what there is.
#
# The build directory is laid out like the installed tree and runs from there.
# Useful variables: B=DIR (build directory), CC=gcc|clang, WERROR=1, DESTDIR=,
# PREFIX=, SYSCONFDIR=, CFLAGS= and LDFLAGS= (added behind ours), V=1 (show the commands).

VERSION = 0.1.0
B       = build
PREFIX  = /usr/local
SYSCONFDIR = /etc

all:

# --- flags -------------------------------------------------------------------

# $(call try,FLAGS): the flags, if this compiler knows them
try = $(shell $(CC) -Werror $1 -c -o /dev/null -x c /dev/null 2>&1 >/dev/null \
	| grep -q . || echo $1)

WARN = -Wall -Wextra -Wconversion -Wshadow -Wstrict-prototypes \
	-Wmissing-prototypes $(if $(WERROR),-Werror)
DEFS = -D_GNU_SOURCE -DSALLYPORT_VERSION='"$(VERSION)"' \
	-DSYSCONFDIR='"$(SYSCONFDIR)"'
BASE = -std=gnu17 -g $(WARN) $(DEFS) $(EXTRA_DEFS) -fPIE -fvisibility=hidden
LINK = -pie -Wl,--as-needed

ifdef SAN
# Sanitizers and the sandbox exclude each other; such a program refuses uid 0.
HARD := -O1 -fno-omit-frame-pointer -fsanitize=$(SAN) \
	-fno-sanitize-recover=all -DSALLYPORT_NO_SANDBOX
LINK += -fsanitize=$(SAN)
else
# What the optimiser may conclude from undefined behaviour is cut down too
# (the -fno- lines): a mistake shall stay the mistake that was written.
ZERO := -ftrivial-auto-var-init=zero
HARD := -O2 -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3 -fstack-protector-strong \
	$(call try,-fstack-clash-protection) \
	$(call try,-fcf-protection=full) \
	$(call try,-mbranch-protection=standard) \
	$(or $(call try,$(ZERO)),$(call try,$(ZERO) -enable-trivial-auto-var-init-zero-knowing-it-will-be-removed-from-clang)) \
	-fno-strict-aliasing -fno-strict-overflow \
	-fno-delete-null-pointer-checks
LINK += -Wl,-z,relro,-z,now,-z,noexecstack,-z,separate-code
endif

say     = $(if $V,,@echo '  $1 $@';)
COMPILE = $(CC) $(BASE) $(HARD) $(CPPFLAGS) $(CFLAGS)
LDLIBS  = -lseccomp -lcap-ng -lbsd

# --- sources -----------------------------------------------------------------

START  := $(wildcard start/*.c)
PRIV   := $(wildcard priv/*.c)
COMMON := $(wildcard common/*.c)
RELAY  := $(filter-out relay/main.c,$(wildcard relay/*.c))

DIALER   := $(wildcard helpers/dialer*.c helpers/dial_*.c)
RESOLVER := $(wildcard helpers/resolver*.c)
LOGGER   := $(wildcard helpers/logger*.c helpers/log_*.c)
TCPPROXY := $(wildcard compat/tcpproxy*.c)

objs = $(patsubst %.c,$(B)/obj/%.o,$1)
O    = $(B)/obj
X    = $(B)/libexec/sallyport

PROGRAMS := $(B)/sbin/sallyport $X/parent $X/relay $X/dialer $X/resolver \
	$X/logger
COMPAT := $(B)/sbin/tcpproxy

# Test programs: one per file, but for headers and shared sources (lib*.c).
tests_in = $(patsubst %.c,$(B)/%,$(filter-out $1/lib%,$(wildcard $1/*.c)))
GROUPS = unit priv evil sandbox system
FUZZERS := $(patsubst %.c,$(B)/%,$(wildcard fuzz/fuzz_*.c))

# --- build -------------------------------------------------------------------

all: $(PROGRAMS) $(COMPAT) $X/empty

# Recompile everything when the compiler or a flag has changed.
$O/flags: FORCE
	@mkdir -p $(@D)
	@echo '$(subst ','\'',$(COMPILE) $(LINK) $(LDFLAGS))' >$@.new
	@cmp -s $@.new $@ && rm $@.new || mv $@.new $@

$O/%.o: %.c $O/flags
	@mkdir -p $(@D)
	$(call say,CC)$(COMPILE) -MMD -MP -c -o $@ $<

$O/libcommon.a: $(call objs,$(COMMON))
$O/librelay.a: $(call objs,$(RELAY))
$O/lib%.a:
	@rm -f $@
	$(call say,AR)ar rcs $@ $^

$(B)/sbin/sallyport: $(call objs,$(START)) $O/libcommon.a
$X/parent: $(call objs,$(PRIV)) $O/libcommon.a
$X/relay: $(call objs,relay/main.c) $O/librelay.a $O/libcommon.a
$X/dialer: $(call objs,$(DIALER)) $O/libcommon.a
$X/resolver: $(call objs,$(RESOLVER)) $O/libcommon.a
$X/logger: $(call objs,$(LOGGER)) $O/libcommon.a
$X/resolver: LDLIBS += -pthread
$(B)/sbin/tcpproxy: $(call objs,$(TCPPROXY))

$(PROGRAMS) $(COMPAT):
	@mkdir -p $(@D)
	$(call say,LD)$(CC) $(LINK) $(LDFLAGS) -Wl,-Map=$O/$(@F).map \
		-o $@ $^ $(LDLIBS)

# The default jail.
$X/empty:
	$(call say,DIR)mkdir -p $@ && chmod 0555 $@

# --- tests -------------------------------------------------------------------

# A test names the system calls it replaces in a comment line `wrap: a b c'.
wraps = $(patsubst %,-Wl$(comma)--wrap=%,\
	$(shell sed -n 's/^[ /*]*wrap: *\([a-z0-9_ ]*\).*/\1/p' $<))
comma = ,

TESTLIBS = $O/libcommon.a -lcmocka $(LDLIBS) -pthread

$(B)/tests/unit/%: tests/unit/%.c $O/librelay.a $O/libcommon.a $O/flags
	@mkdir -p $(@D)
	$(call say,CC)$(COMPILE) -MMD -MP $(LINK) $(LDFLAGS) $(wraps) -o $@ $< \
		$O/librelay.a $(TESTLIBS)

PRIV_TESTED := $(call objs,$(filter-out priv/main.c,$(PRIV)))
$(B)/tests/priv/%: tests/priv/%.c $(PRIV_TESTED) $O/libcommon.a $O/flags
	@mkdir -p $(@D)
	$(call say,CC)$(COMPILE) -MMD -MP $(LINK) $(LDFLAGS) $(wraps) -o $@ $< \
		$(PRIV_TESTED) $(TESTLIBS)

$(B)/tests/%: tests/%.c $O/libcommon.a $O/flags
	@mkdir -p $(@D)
	$(call say,CC)$(COMPILE) -MMD -MP $(LINK) $(LDFLAGS) -o $@ $< $(TESTLIBS)

# What tcpproxy does in its child; the rest needs processes and a main().
$(B)/fuzz/fuzz_tcpproxy: $(call objs,compat/tcpproxy_config.c \
	compat/tcpproxy_listeners.c)
$(B)/fuzz/%: fuzz/%.c $O/librelay.a $O/libcommon.a $O/flags
	@mkdir -p $(@D)
	$(call say,CC)$(COMPILE) -fsanitize=fuzzer -MMD -MP $(LINK) $(LDFLAGS) $(wraps) \
		-o $@ $< $(filter %.o,$^) $O/librelay.a $O/libcommon.a $(LDLIBS)

programs-unit: $(call tests_in,tests/unit)
programs-priv: $(call tests_in,tests/priv)
programs-evil: all $(call tests_in,tests/evil)
programs-sandbox: $(call tests_in,tests/sandbox)
programs-system: all $(call tests_in,tests/system)
programs-tests: $(GROUPS:%=programs-%)
programs-fuzz: $(FUZZERS)

check: deps-test
	@$(MAKE) --no-print-directory programs-tests
	@tests/run $(B) $(GROUPS)

$(GROUPS:%=check-%): check-%:
	@$(MAKE) --no-print-directory programs-$*
	@tests/run $(B) $*

asan:
	@$(MAKE) --no-print-directory B=build-asan SAN=address,undefined \
		$(patsubst %,programs-%,$(filter-out sandbox,$(GROUPS)))

trap:
	@$(MAKE) --no-print-directory B=build-trap \
		EXTRA_DEFS=-DSALLYPORT_TRAP programs-evil programs-system

FUZZ_SECONDS = 60
fuzz:
	@$(MAKE) --no-print-directory B=build-fuzz CC=clang \
		SAN=fuzzer-no-link,address,undefined programs-fuzz
	@tests/fuzz build-fuzz $(FUZZ_SECONDS)

lint:
	@tests/lint/run

budget: all
	@tests/lint/budget $(B)

# The load generator links nothing of ours and is built like any program.
BENCH := $(wildcard tests/bench/*.c)
$(B)/tests/bench/load: $(BENCH) tests/bench/load.h
	@mkdir -p $(@D)
	$(call say,CC)$(CC) -std=gnu17 -g -O2 $(WARN) -D_GNU_SOURCE $(CPPFLAGS) \
		$(CFLAGS) $(LDFLAGS) -o $@ $(BENCH)

bench: deps-bench
	@$(MAKE) --no-print-directory all $(B)/tests/bench/load
	@$(MAKE) --no-print-directory B=$(B)-bare \
		EXTRA_DEFS=-DSALLYPORT_NO_SANDBOX all
	@PEERS='$(PEERS)' CASES='$(CASES)' ROUNDS='$(ROUNDS)' OUT='$(OUT)' \
		tests/bench/bench.py $(B) $(B)-bare $(B)/tests/bench/load

demo: deps-demo
	@$(MAKE) --no-print-directory all
	@tests/demo $(B)

# --- packages ----------------------------------------------------------------

DEPS_BUILD = gcc libc6-dev make libseccomp-dev libcap-ng-dev libbsd-dev
DEPS_DEMO  = nginx-light curl python3
DEPS_TEST  = libcmocka-dev python3 python3-pytest iproute2 nginx-light curl \
	redis-server redis-tools postgresql openssh-server openssh-client \
	netcat-openbsd strace procps lsof \
	systemd logrotate bubblewrap python3-seccomp \
	rsyslog util-linux e2fsprogs mandoc
DEPS_BENCH = haproxy nginx-light libnginx-mod-stream rinetd socat systemd \
	redir gnuplot-nox iproute2 util-linux python3
DEPS_LINT  = clang libclang-rt-dev llvm clang-format clang-tidy cppcheck \
	shellcheck mandoc git

deps:
	@tests/deps $(DEPS_BUILD) $(DEPS_TEST) $(DEPS_LINT)
	@echo "deps: everything is there"
deps-test:
	@tests/deps $(DEPS_BUILD) $(DEPS_TEST)
deps-bench:
	@tests/deps $(DEPS_BUILD) $(DEPS_BENCH)
deps-demo:
	@tests/deps $(DEPS_BUILD) $(DEPS_DEMO)

# --- install -----------------------------------------------------------------

SBIN = $(DESTDIR)$(PREFIX)/sbin
EXEC = $(DESTDIR)$(PREFIX)/libexec/sallyport
MAN  = $(DESTDIR)$(PREFIX)/share/man
DOC  = $(DESTDIR)$(PREFIX)/share/doc/sallyport

ETC  = $(DESTDIR)$(SYSCONFDIR)

SYSCONFDIR  = /etc
SYSTEMDDIR  = $(PREFIX)/lib/systemd/system
SYSUSERSDIR = $(PREFIX)/lib/sysusers.d
TMPFILESDIR = $(PREFIX)/lib/tmpfiles.d
# which of dist/sysv and dist/openrc becomes the init script
INIT        = sysv

# $(call programs,FILES,DIRECTORY): each takes its name when it is whole, so
# that a reload meanwhile starts the old one or the new one
programs = for f in $1; do t=$2/$${f\#\#*/}; install -m 0755 $$f $$t.new && \
	mv -f $$t.new $$t || exit 1; done

install: all
	install -d $(SBIN) $(EXEC) $(MAN)/man5 $(MAN)/man8 $(DOC)/examples
	$(call programs,$(filter $X/%,$(PROGRAMS)),$(EXEC))
	$(call programs,$(B)/sbin/sallyport,$(SBIN))
	install -d -m 0555 $(EXEC)/empty
	install -m 0644 man/sallyport.8 $(MAN)/man8
	install -m 0644 man/sallyport.conf.5 $(MAN)/man5
	install -m 0644 dist/sallyport.conf README.md SECURITY.md LICENSE $(DOC)
	install -m 0644 $(wildcard dist/examples/*.conf) \
		dist/systemd/sallyport.socket $(DOC)/examples

# $(call put,MODE,FILE,TARGET): the files of dist/ name PREFIX's default
put = sed 's|/usr/local/|$(PREFIX)/|g' dist/$2 >$3 && chmod $1 $3
# $(call conf,FILE,TARGET): what an administrator may have changed stays
conf = if [ -e $2 ]; then echo "$2: kept"; \
	else install -m 0644 dist/$1 $2; fi
unconf = if cmp -s dist/$1 $2; then rm $2; \
	elif [ -e $2 ]; then echo "$2: changed, kept"; fi

install-dist:
	install -d $(DESTDIR)$(SYSTEMDDIR) $(DESTDIR)$(SYSUSERSDIR) \
		$(DESTDIR)$(TMPFILESDIR) $(ETC)/default $(ETC)/init.d \
		$(ETC)/logrotate.d
	$(call put,0644,systemd/sallyport.service,$(DESTDIR)$(SYSTEMDDIR)/sallyport.service)
	$(call put,0755,$(INIT)/sallyport,$(ETC)/init.d/sallyport)
	install -m 0644 dist/sysusers.d/sallyport.conf $(DESTDIR)$(SYSUSERSDIR)
	install -m 0644 dist/tmpfiles.d/sallyport.conf $(DESTDIR)$(TMPFILESDIR)
	@$(call conf,default/sallyport,$(ETC)/default/sallyport)
	@$(call conf,logrotate/sallyport,$(ETC)/logrotate.d/sallyport)

install-compat: all
	install -d $(SBIN) $(MAN)/man8
	$(call programs,$(COMPAT),$(SBIN))
	install -m 0644 $(COMPAT:$(B)/sbin/%=man/%.8) $(MAN)/man8

uninstall-compat:
	rm -f $(COMPAT:$(B)/sbin/%=$(SBIN)/%) \
		$(COMPAT:$(B)/sbin/%=$(MAN)/man8/%.8)
	@$(prune)

# Directories that others share go only from a tree of its own, when empty.
prune = [ -z "$(DESTDIR)" ] || [ ! -d "$(DESTDIR)" ] || \
	find "$(DESTDIR)" -mindepth 1 -type d -empty -delete

uninstall:
	rm -f $(SBIN)/sallyport $(MAN)/man8/sallyport.8 \
		$(MAN)/man5/sallyport.conf.5 \
		$(DESTDIR)$(SYSTEMDDIR)/sallyport.service \
		$(DESTDIR)$(SYSUSERSDIR)/sallyport.conf \
		$(DESTDIR)$(TMPFILESDIR)/sallyport.conf \
		$(ETC)/init.d/sallyport
	rm -rf $(EXEC) $(DOC)
	@$(call unconf,default/sallyport,$(ETC)/default/sallyport)
	@$(call unconf,logrotate/sallyport,$(ETC)/logrotate.d/sallyport)
	@$(prune)

clean:
	rm -rf build build-* $(B)

help:
	@sed -n 's/^# help: //p' $(MAKEFILE_LIST)

# help: make            build the release into build/ and run it from there
# help: make install    DESTDIR= PREFIX=/usr/local;  also: make uninstall
# help: make install-dist  unit, init script (INIT=sysv|openrc), logrotate ...
# help: make install-compat  the command tcpproxy;  also: uninstall-compat
# help: make demo       see it work; KEEP=1 leaves it running until Ctrl-C
# help: make check      all tests; check-unit, -priv, -evil, -sandbox, -system
# help: make asan       build with sanitizers, without sandbox (build-asan)
# help: make trap       build that names a denied system call (build-trap)
# help: make fuzz       run each fuzzer for FUZZ_SECONDS=60 (clang)
# help: make bench      beside other proxies (root); PEERS= CASES= ROUNDS= OUT=
# help: make lint       style, static analysis, manual pages, include rules
# help: make budget     size of the privileged program against its limits
# help: make deps       install the Debian packages that all this needs
# help: make clean      remove build and build-*

.PHONY: all asan bench budget check clean demo deps deps-bench deps-demo deps-test fuzz help \
	install install-compat install-dist lint programs-fuzz programs-tests \
	trap uninstall uninstall-compat FORCE \
	$(GROUPS:%=check-%) $(GROUPS:%=programs-%)
.SECONDARY:

-include $(wildcard $O/*/*.d $(B)/tests/*/*.d $(B)/fuzz/*.d)
