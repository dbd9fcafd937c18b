"""Values and decisions of billing that need neither database nor clock; standard library only."""
