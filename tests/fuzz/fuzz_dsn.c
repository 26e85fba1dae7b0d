/* Connection URLs: a password that parses out of a URL must not show in its redacted form. */
#include "store/connection/dsn.h"
#include "tests/fuzz/fuzz_common.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena a;
	struct err err;
	struct dsn dsn;
	arena_init(&a);
	struct str url = fuzz_text(data, size);
	(void)dsn_redact(&a, url);
	if (dsn_parse(&a, url, &dsn, &err))
		(void)dsn_scrub(&a, &dsn, STR("could not connect: password \"secret\""));
	/* a marker placed as the password of whatever the input is as host and path */
	struct str marked = arena_printf(&a, "postgres://u:Zq9Marker@%.*s", STR_FMT(url));
	struct str shown = dsn_redact(&a, marked);
	if (memmem(shown.p, shown.len, "Zq9Marker", 9) != NULL && memmem(url.p, url.len, "Zq9Marker", 9) == NULL)
		abort();
	arena_done(&a);
	return 0;
}
