/* Packs three buffers with lifetimes, in C. */
#include <stdio.h>
#include <tenure/tenure.h>

int main(void) {
  const int64_t first[] = {0, 2, 1};
  const int64_t last[] = {2, 4, 3}; /* not included */
  const uint64_t size[] = {4096, 4096, 3072};
  uint64_t offsets[3];
  tenure_pack_result result = TENURE_PACK_RESULT_INIT;
  int i;
  if (tenure_pack(3, first, last, size, NULL, NULL, NULL, offsets, &result) != TENURE_OK) {
    fprintf(stderr, "%s\n", tenure_error());
    return 1;
  }
  for (i = 0; i < 3; ++i) printf("buffer %d at %llu\n", i, (unsigned long long)offsets[i]);
  printf("%llu bytes, and no packing needs fewer than %llu\n", (unsigned long long)result.height,
         (unsigned long long)result.lower_bound);
  return 0;
}
