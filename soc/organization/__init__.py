"""Who there is: agencies, network points, people, systems, mailboxes, partners; and who an event belongs to."""
