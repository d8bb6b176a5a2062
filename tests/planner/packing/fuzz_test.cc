// Feeds the fuzz target what a fuzzer would start from: a small corpus, and random and mutated
// inputs that are the same in every run.

#include <cstddef>
#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "gtest/gtest.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace {

void Feed(const std::string& input) {
  LLVMFuzzerTestOneInput(reinterpret_cast<const uint8_t*>(input.data()), input.size());
}

const std::vector<std::string>& Corpus() {
  static const auto* const corpus = new std::vector<std::string>{
      std::string("\x03") +
          "id,lower,upper,size\nb1,0,3,4\nb2,3,9,4\nb3,0,9,4\nb4,9,21,4\nb5,0,21,4\n",
      std::string("\x03") +
          "size,end,start,alignment,gaps,offset,hint,arena\r\n8,9,0,4,1-2 "
          "4-5@0:3,,16,1\r\n\r\n4,3,2,1,,8,-1,\r\n",
      std::string("\x03") +
          "\xEF\xBB\xBF\"id\",lower,upper,size\n\"a,\"\"b\",-5,-4,18446744073709551615\n",
      std::string("\x01") +
          R"({"items":[{"first":0,"last":3,"size":4,"alignment":2,"hint":8},{"first":1,"last":2,"size":3,"fixed":4}],"gaps":[{"item":0,"first":1,"last":2,"window":[0,1]}],"arenas":[{"limit":64},{}],"bindings":[[0,1]],"capacity":100})",
      std::string("\x01") +
          R"({"items":[{"first":0,"last":1,"size":4},{"first":0,"last":1,"size":4}],"order":{"steps":3,"edges":[[0,1],[1,2]],"uses":[[0,0],[1,2]]},"adjacent":[[0,1]]})",
      std::string("\x01") +
          R"({"status":"optimal","offsets":[0,4],"heights":[8],"height":8,"lower_bound":8})",
  };
  return *corpus;
}

TEST(Fuzz, Corpus) {
  Feed("");
  for (const std::string& input : Corpus()) Feed(input);
}

TEST(Fuzz, RandomBytes) {
  std::mt19937 random(1);
  for (int k = 0; k < 1500; ++k) {
    std::string input(1 + random() % 200, '\0');
    for (char& c : input) c = static_cast<char>(random());
    input[0] = 2;  // a problem read off the bytes; text of random bytes is refused at once
    Feed(input);
  }
}

TEST(Fuzz, MutatedCorpus) {
  std::mt19937 random(2);
  static constexpr char kLikely[] = "0123456789-,@: \n\r\"{}[]abc";
  for (int k = 0; k < 2500; ++k) {
    std::string input = Corpus()[random() % Corpus().size()];
    for (uint32_t m = 1 + random() % 4; m > 0; --m) {
      const size_t at = 1 + random() % (input.size() - 1);
      switch (random() % 4) {
        case 0:
          input[at] = kLikely[random() % (sizeof(kLikely) - 1)];
          break;
        case 1:
          input.insert(at, 1, kLikely[random() % (sizeof(kLikely) - 1)]);
          break;
        case 2:
          if (input.size() > 2) input.erase(at, 1);
          break;
        default:
          input.resize(at + 1);
      }
      if (input.size() < 2) break;
    }
    Feed(input);
  }
}

}  // namespace
