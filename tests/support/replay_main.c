/* Feeds files to a libFuzzer target, so that a stored corpus runs under any compiler: one line a file. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define REPLAY_BYTES_MAX (8 * 1024 * 1024)

int main(int argc, char **argv)
{
	uint8_t *data = malloc(REPLAY_BYTES_MAX);

	if (data == NULL)
		return 1;
	for (int i = 1; i < argc; i++) {
		FILE *f = fopen(argv[i], "rb");
		size_t n;
		uint8_t *exact;

		if (f == NULL) {
			fprintf(stderr, "cannot open %s\n", argv[i]);
			free(data);
			return 1;
		}
		n = fread(data, 1, REPLAY_BYTES_MAX, f);
		fclose(f);
		printf("%s\n", argv[i]);
		fflush(stdout);
		/* a block of exactly n bytes, so that the sanitizer sees a read past the end */
		exact = malloc(n > 0 ? n : 1);
		if (exact == NULL)
			abort();
		for (size_t k = 0; k < n; k++)
			exact[k] = data[k];
		(void)LLVMFuzzerTestOneInput(exact, n);
		free(exact);
	}
	free(data);
	return 0;
}
