//! The hello message: eight fields by which sentinels find each other and spread new configurations.

use std::fmt;

/// A hello as it travels: `ip,port,id,current_epoch,group,primary_ip,primary_port,config_epoch`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Hello<'a> {
    pub(crate) host: &'a str,
    pub(crate) port: u16,
    pub(crate) id: &'a str,
    pub(crate) current_epoch: u64,
    pub(crate) group: &'a str,
    pub(crate) primary_host: &'a str,
    pub(crate) primary_port: u16,
    pub(crate) config_epoch: u64,
}

impl<'a> Hello<'a> {
    /// Reads a message; `None` unless it has exactly eight fields of the right kinds. Unlike Sentinel, numbers
    /// with anything behind them are not taken for numbers.
    pub(crate) fn parse(message: &'a str) -> Option<Self> {
        let mut fields = message.split(',');
        let hello = Self {
            host: fields.next()?,
            port: fields.next()?.parse().ok()?,
            id: fields.next()?,
            current_epoch: fields.next()?.parse().ok()?,
            group: fields.next()?,
            primary_host: fields.next()?,
            primary_port: fields.next()?.parse().ok()?,
            config_epoch: fields.next()?.parse().ok()?,
        };
        fields.next().is_none().then_some(hello)
    }
}

impl fmt::Display for Hello<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{},{},{},{},{},{},{},{}",
            self.host,
            self.port,
            self.id,
            self.current_epoch,
            self.group,
            self.primary_host,
            self.primary_port,
            self.config_epoch
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_can_be_read() {
        let text = "127.0.0.1,26379,da1a72f566a2f75aa53f73ff6fe435ed6176a9ae,1,mymaster,127.0.0.1,6379,0";
        let hello = Hello::parse(text).expect("a hello");
        assert_eq!(hello.to_string(), text);
        assert_eq!((hello.current_epoch, hello.primary_port), (1, 6379));
    }

    #[test]
    fn anything_but_eight_good_fields_is_no_hello() {
        for bad in [
            "",
            "a,b",
            "h,1,i,1,g,p,1,0,9",
            "h,70000,i,1,g,p,1,0",
            "h,1,i,-1,g,p,1,0",
            "h,1,i,1x,g,p,1,0",
        ] {
            assert_eq!(Hello::parse(bad), None, "{bad}");
        }
    }
}
