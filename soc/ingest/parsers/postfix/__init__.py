"""Postfix with amavis, SpamAssassin and rspamd."""
