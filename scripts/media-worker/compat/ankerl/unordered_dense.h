// What: the three names of ankerl::unordered_dense that mediasoup's worker uses, over the standard containers.
// What not: the library itself; nothing of its layout or iteration order is promised.
// Why: the library has no Debian package, and the worker asks of it only a map, a set and per-field hashes.
// The standard containers keep references valid for longer than the originals do, so every use stays correct.

#ifndef VERBATIM_COMPAT_ANKERL_UNORDERED_DENSE_H
#define VERBATIM_COMPAT_ANKERL_UNORDERED_DENSE_H

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <type_traits>
#include <unordered_map>
#include <unordered_set>

namespace ankerl::unordered_dense
{
	// std::hash of an integer is the integer itself. Ports and addresses that differ in a few bits would then share
	// buckets once they are combined, so integers are mixed (the finaliser of SplitMix64).
	template<typename T, typename Enable = void>
	struct hash : std::hash<T>
	{
	};

	template<typename T>
	struct hash<T, std::enable_if_t<std::is_integral_v<T> || std::is_enum_v<T>>>
	{
		std::size_t operator()(T value) const noexcept
		{
			auto x = static_cast<std::uint64_t>(value) + 0x9e3779b97f4a7c15ull;

			x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
			x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;

			return static_cast<std::size_t>(x ^ (x >> 31));
		}
	};

	template<typename Key, typename Value, typename Hash = hash<Key>>
	using map = std::unordered_map<Key, Value, Hash>;

	template<typename Key, typename Hash = hash<Key>>
	using set = std::unordered_set<Key, Hash>;
} // namespace ankerl::unordered_dense

#endif
