// What: the part of the libsrtp 3 API that mediasoup's worker calls, over libsrtp 2.
// What not: a general port; the master key identifier (MKI) and cryptex are refused, because the worker uses neither.
// Why: Debian has libsrtp 2 only. Both speak the same SRTP (RFC 3711, RFC 7714); what changed is the shape of the calls.

#ifndef VERBATIM_COMPAT_SRTP_H
#define VERBATIM_COMPAT_SRTP_H

// In libsrtp 3 `srtp_policy_t` is an opaque pointer, in libsrtp 2 a struct: the struct gets another name here.
#define srtp_policy_t verbatim_srtp2_policy_t
#include <srtp2/srtp.h>
#undef srtp_policy_t

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <new>
#include <openssl/crypto.h>

// Error codes that libsrtp 3 added after libsrtp 2's last one (27); both fit the range of the C enumeration.
inline constexpr auto srtp_err_status_buffer_small = static_cast<srtp_err_status_t>(28);
inline constexpr auto srtp_err_status_cryptex_err  = static_cast<srtp_err_status_t>(29);

static_assert(
  static_cast<int>(srtp_err_status_pkt_idx_adv) < static_cast<int>(srtp_err_status_buffer_small),
  "libsrtp 2 gained error codes: number the added ones again");

namespace verbatim
{
	struct SrtpPolicy
	{
		verbatim_srtp2_policy_t inner;
		// Master key followed by master salt; `inner.key` points here.
		unsigned char key[SRTP_MAX_KEY_LEN];
		srtp_profile_t profile;
		bool hasProfile;
	};

	// RTP and RTCP headers that every SRTP call reads before it knows the length is sound.
	inline constexpr std::size_t SrtpMinRtpLen{ 12 };
	inline constexpr std::size_t SrtpMinRtcpLen{ 8 };
	inline constexpr std::size_t SrtpMaxLen{ static_cast<std::size_t>(std::numeric_limits<int>::max()) };
} // namespace verbatim

using srtp_policy_t = verbatim::SrtpPolicy*;

inline srtp_err_status_t srtp_policy_create(srtp_policy_t* policy)
{
	if (policy == nullptr)
	{
		return srtp_err_status_bad_param;
	}

	*policy = new (std::nothrow) verbatim::SrtpPolicy{};

	return *policy == nullptr ? srtp_err_status_alloc_fail : srtp_err_status_ok;
}

// Wipes the key before the memory goes back. srtp_create() has derived its session keys by then.
inline void srtp_policy_destroy(srtp_policy_t policy)
{
	if (policy == nullptr)
	{
		return;
	}

	OPENSSL_cleanse(policy, sizeof(*policy));

	delete policy;
}

inline srtp_err_status_t srtp_policy_set_ssrc(srtp_policy_t policy, srtp_ssrc_t ssrc)
{
	if (policy == nullptr)
	{
		return srtp_err_status_bad_param;
	}

	policy->inner.ssrc = ssrc;

	return srtp_err_status_ok;
}

inline srtp_err_status_t srtp_policy_set_profile(srtp_policy_t policy, srtp_profile_t profile)
{
	if (policy == nullptr)
	{
		return srtp_err_status_bad_param;
	}

	srtp_err_status_t err = srtp_crypto_policy_set_from_profile_for_rtp(&policy->inner.rtp, profile);

	if (err == srtp_err_status_ok)
	{
		err = srtp_crypto_policy_set_from_profile_for_rtcp(&policy->inner.rtcp, profile);
	}

	if (err == srtp_err_status_ok)
	{
		policy->profile    = profile;
		policy->hasProfile = true;
	}

	return err;
}

inline srtp_err_status_t srtp_policy_add_key(
  srtp_policy_t policy,
  const std::uint8_t* key,
  std::size_t key_len,
  const std::uint8_t* salt,
  std::size_t salt_len,
  const std::uint8_t* mki,
  std::size_t mki_len)
{
	if (
	  policy == nullptr || !policy->hasProfile || key == nullptr || salt == nullptr || mki != nullptr || mki_len != 0 ||
	  key_len != srtp_profile_get_master_key_length(policy->profile) ||
	  salt_len != srtp_profile_get_master_salt_length(policy->profile) || key_len + salt_len > sizeof(policy->key))
	{
		return srtp_err_status_bad_param;
	}

	std::memcpy(policy->key, key, key_len);
	std::memcpy(policy->key + key_len, salt, salt_len);

	policy->inner.key = policy->key;

	return srtp_err_status_ok;
}

inline srtp_err_status_t srtp_policy_set_allow_repeat_tx(srtp_policy_t policy, bool allow)
{
	if (policy == nullptr)
	{
		return srtp_err_status_bad_param;
	}

	policy->inner.allow_repeat_tx = allow ? 1 : 0;

	return srtp_err_status_ok;
}

inline srtp_err_status_t srtp_policy_set_window_size(srtp_policy_t policy, std::size_t window_size)
{
	// RFC 3711 section 3.3.2 asks for at least 64; libsrtp counts 16-bit sequence numbers.
	if (policy == nullptr || window_size < 64 || window_size >= 0x8000)
	{
		return srtp_err_status_bad_param;
	}

	policy->inner.window_size = static_cast<unsigned long>(window_size);

	return srtp_err_status_ok;
}

inline srtp_err_status_t srtp_create(srtp_t* session, srtp_policy_t policy)
{
	if (session == nullptr || policy == nullptr || !policy->hasProfile || policy->inner.key == nullptr)
	{
		return srtp_err_status_bad_param;
	}

	return srtp_create(session, &policy->inner);
}

// The SSRC is in network order in both versions.
inline srtp_err_status_t srtp_stream_remove(srtp_t session, std::uint32_t ssrc)
{
	return srtp_remove_stream(session, ssrc);
}

namespace verbatim
{
	using SrtpInPlace = srtp_err_status_t (*)(srtp_t, void*, int*);

	// libsrtp 2 works in place: copy first, then let it grow or shrink the copy.
	// `trailer` is the most that `inPlace` can append; the output buffer must have room for it before the call.
	inline srtp_err_status_t srtpCopyThen(
	  SrtpInPlace inPlace,
	  srtp_t session,
	  const std::uint8_t* in,
	  std::size_t in_len,
	  std::uint8_t* out,
	  std::size_t* out_len,
	  std::size_t min_len,
	  std::size_t trailer)
	{
		if (
		  session == nullptr || in == nullptr || out == nullptr || out_len == nullptr || in_len < min_len ||
		  in_len > SrtpMaxLen - trailer)
		{
			return srtp_err_status_bad_param;
		}

		if (*out_len < in_len + trailer)
		{
			return srtp_err_status_buffer_small;
		}

		if (in != out)
		{
			std::memmove(out, in, in_len);
		}

		int len = static_cast<int>(in_len);

		const srtp_err_status_t err = inPlace(session, out, &len);

		if (err != srtp_err_status_ok)
		{
			return err;
		}

		if (len < 0 || static_cast<std::size_t>(len) > *out_len)
		{
			return srtp_err_status_fail;
		}

		*out_len = static_cast<std::size_t>(len);

		return srtp_err_status_ok;
	}
} // namespace verbatim

inline srtp_err_status_t srtp_protect(
  srtp_t session,
  const std::uint8_t* rtp,
  std::size_t rtp_len,
  std::uint8_t* srtp,
  std::size_t* srtp_len,
  std::size_t mki_index)
{
	if (mki_index != 0)
	{
		return srtp_err_status_bad_mki;
	}

	return verbatim::srtpCopyThen(
	  srtp_protect, session, rtp, rtp_len, srtp, srtp_len, verbatim::SrtpMinRtpLen, SRTP_MAX_TRAILER_LEN);
}

inline srtp_err_status_t srtp_unprotect(
  srtp_t session, const std::uint8_t* srtp, std::size_t srtp_len, std::uint8_t* rtp, std::size_t* rtp_len)
{
	return verbatim::srtpCopyThen(
	  srtp_unprotect, session, srtp, srtp_len, rtp, rtp_len, verbatim::SrtpMinRtpLen, 0);
}

inline srtp_err_status_t srtp_protect_rtcp(
  srtp_t session,
  const std::uint8_t* rtcp,
  std::size_t rtcp_len,
  std::uint8_t* srtcp,
  std::size_t* srtcp_len,
  std::size_t mki_index)
{
	if (mki_index != 0)
	{
		return srtp_err_status_bad_mki;
	}

	// RFC 3711 section 3.4: SRTCP also appends the E flag and index (4 bytes).
	return verbatim::srtpCopyThen(
	  srtp_protect_rtcp, session, rtcp, rtcp_len, srtcp, srtcp_len, verbatim::SrtpMinRtcpLen, SRTP_MAX_TRAILER_LEN + 4);
}

inline srtp_err_status_t srtp_unprotect_rtcp(
  srtp_t session, const std::uint8_t* srtcp, std::size_t srtcp_len, std::uint8_t* rtcp, std::size_t* rtcp_len)
{
	return verbatim::srtpCopyThen(
	  srtp_unprotect_rtcp, session, srtcp, srtcp_len, rtcp, rtcp_len, verbatim::SrtpMinRtcpLen, 0);
}

#endif
